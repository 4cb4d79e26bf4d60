"""Recorded management actions: who, what, where, how far."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

import asyncpg
import msgspec

from aggregator.storage.pool import Database

Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


class Operation(NamedTuple):
    id: int
    kind: str
    actor: str
    cluster_id: int | None
    args: dict[str, Any]
    phase: Phase
    message: str
    result: dict[str, Any] | None
    created: datetime
    finished: datetime | None


async def begin(
    connection: asyncpg.Connection, kind: str, actor: str, args: dict[str, Any], cluster_id: int | None = None
) -> int:
    """Record that something begins; its id. No secrets in `args`."""
    id = await connection.fetchval(
        "insert into fleet.operation (kind, actor, cluster_id, args, phase) "
        "values ($1, $2, $3, $4, 'Running') returning id",
        kind,
        actor,
        cluster_id,
        msgspec.json.encode(args),
    )
    return int(id)


async def finish(
    connection: asyncpg.Connection, id: int, phase: Phase, message: str = "", result: dict[str, Any] | None = None
) -> None:
    await connection.execute(
        "update fleet.operation set phase = $2, message = $3, result = $4, finished = now() where id = $1",
        id,
        phase,
        message[:4000],
        None if result is None else msgspec.json.encode(result),
    )


async def record(
    connection: asyncpg.Connection, kind: str, actor: str, args: dict[str, Any], cluster_id: int | None = None
) -> None:
    """Something short that is done with this transaction."""
    await finish(connection, await begin(connection, kind, actor, args, cluster_id), "Succeeded")


async def get(database: Database, id: int) -> Operation | None:
    rows = await database.readers.fetch(_GET, id)
    if not rows:
        return None
    row = rows[0]
    result = None if row["result"] is None else msgspec.json.decode(row["result"])
    return Operation(
        row["id"],
        row["kind"],
        row["actor"],
        row["cluster_id"],
        msgspec.json.decode(row["args"]),
        row["phase"],
        row["message"],
        result,
        row["created"],
        row["finished"],
    )


async def interrupted(connection: asyncpg.Connection, kinds: list[str]) -> None:
    """What ran in a process that is gone has failed; the caller can ask again."""
    await connection.execute(
        "update fleet.operation set phase = 'Failed', message = 'the aggregator was restarted meanwhile; ask again', "
        "finished = now() where phase = 'Running' and kind = any($1)",
        kinds,
    )


_GET = """
select id, kind, actor, cluster_id, args, phase, message, result, created, finished
  from fleet.operation where id = $1"""
