"""Objects that could not be stored, with the reason."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from aggregator.storage.pool import Database


class RejectedRow(NamedTuple):
    type_id: int
    namespace: str
    name: str
    uid: str
    reason: str
    at: datetime


async def counts(database: Database) -> dict[tuple[int, int], int]:
    """Rejected objects by (cluster id, type id); what has none is left out."""
    rows = await database.readers.fetch(
        "select cluster_id, type_id, count(*) from fleet.rejected group by cluster_id, type_id"
    )
    return {(row[0], row[1]): row[2] for row in rows}


async def some(database: Database, cluster_id: int, limit: int) -> list[RejectedRow]:
    """The newest of one cluster."""
    rows = await database.readers.fetch(
        "select type_id, namespace, name, uid, reason, at from fleet.rejected where cluster_id = $1 "
        "order by at desc, type_id, namespace, name limit $2",
        cluster_id,
        limit,
    )
    return [RejectedRow(*row) for row in rows]
