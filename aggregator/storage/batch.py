"""One batch of one cluster into rows: the call of fleet.apply_batch (schema/migrations/0002_apply.sql)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

import asyncpg

Connection = asyncpg.Connection
Outcome = Literal["applied", "duplicate", "gap", "fenced", "unknown-type"]
SEPARATOR: Final = "\x1f"
_UPSERT, _DELETE, _REJECT, _MARK = 18, 4, 7, 4

UpsertRow = tuple[int, str, str, str, str, int, int, bool, int, str, str, str, str, str, str, int, bytes, bytes]
"""type, namespace, name, uid, resource version, fingerprint, bucket, lossy, created (Unix seconds, 0 = none), status,
owners, labels, fields (each joined by SEPARATOR), cells (JSON), layout (`{1,2,…}`), size, JSON text, body."""
DeleteRow = tuple[int, str, str, str]
"""type, namespace, name, uid."""
RejectRow = tuple[int, str, str, str, int, int, str]
"""type, namespace, name, uid, fingerprint, bucket, reason."""
MarkRow = tuple[int, str, bool, str]
"""type, resource version, listed, shape."""


@dataclass(slots=True)
class Rows:
    """What a run of deltas comes to. A key is at most once in `upserts` and `rejects` together."""

    upserts: list[UpsertRow] = field(default_factory=list)
    deletes: list[DeleteRow] = field(default_factory=list)
    rejects: list[RejectRow] = field(default_factory=list)
    marks: list[MarkRow] = field(default_factory=list)

    def types(self) -> list[int]:
        return list({row[0] for rows in (self.upserts, self.deletes, self.rejects) for row in rows})


class Applied(NamedTuple):
    """`acked` is what the store holds after the call, whatever the outcome. All but `applied` changed nothing."""

    outcome: Outcome
    acked: int
    noops: int
    added: int
    modified: int
    deleted: int


class BadDataError(Exception):
    """Postgres refuses a value in the batch; nothing of it is stored. The message is the database's."""


async def apply(
    connection: asyncpg.Connection, cluster_id: int, epoch: int, first: int, last: int, rows: Rows
) -> Applied:
    """Apply deltas `first … last` (last = first - 1: only marks) in one transaction. Raises BadDataError."""
    try:
        found = await connection.fetch(
            _APPLY,
            cluster_id,
            epoch,
            first,
            last,
            rows.types(),
            *_columns(rows.upserts, _UPSERT),
            *_columns(rows.deletes, _DELETE),
            *_columns(rows.rejects, _REJECT),
            *_columns(rows.marks, _MARK),
        )
    except (asyncpg.DataError, asyncpg.ProgramLimitExceededError) as error:
        raise BadDataError(str(error)) from error
    return Applied(*found[0])


async def refusal(connection: asyncpg.Connection, cluster_id: int, epoch: int, first: int, rows: Rows) -> str | None:
    """Why Postgres refuses `rows`, None where it takes them; nothing is kept either way."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        await apply(connection, cluster_id, epoch, first, first, rows)
    except BadDataError as error:
        return str(error)
    finally:
        await transaction.rollback()
    return None


async def live_types(connection: asyncpg.Connection, cluster_id: int) -> set[int]:
    """Ids of the cluster's types that may gain rows."""
    rows = await connection.fetch(_LIVE_TYPES, cluster_id)
    return {row[0] for row in rows}


async def analyze(connection: asyncpg.Connection) -> None:
    """Let the planner see how far the table has grown; a plan from when it was empty is several times dearer."""
    await connection.execute("analyze fleet.object (cluster_id, type_id, namespace, name, labels, fields)")


def _columns(rows: list[Any], width: int) -> tuple[tuple[Any, ...], ...]:
    return tuple(zip(*rows, strict=True)) if rows else ((),) * width


_APPLY = f"""
select outcome, acked, noops, added, modified, deleted
  from fleet.apply_batch({", ".join(f"${n}" for n in range(1, 6 + _UPSERT + _DELETE + _REJECT + _MARK))})"""
_LIVE_TYPES = "select type_id from fleet.cluster_type where cluster_id = $1 and state not in ('Gone', 'Excluded')"
