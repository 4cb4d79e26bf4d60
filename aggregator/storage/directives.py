"""What the aggregator wants of an agent. An agent fetches by long poll; a new session gets unfinished ones again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import asyncpg
import msgspec

from aggregator.storage.pool import Database
from schema.lossy import replaced
from schema.wire import Directive, DirectiveResult

CHANNEL = "fleet_directive"


class DirectiveState(NamedTuple):
    id: int
    cluster_id: int
    kind: str
    taken: datetime | None
    finished: datetime | None
    error: str
    result: dict[str, Any] | None


async def add(connection: asyncpg.Connection, cluster_id: int, kind: str, args: dict[str, Any] | None = None) -> int:
    """Ask for something; returns its id. Where the same is asked for already and not taken yet, that one's id."""
    encoded = msgspec.json.encode(args or {})
    existing = await connection.fetchval(_SAME, cluster_id, kind, encoded)
    if existing is not None:
        return int(existing)
    id = await connection.fetchval(_ADD, cluster_id, kind, encoded)
    await connection.execute("select pg_notify('fleet_directive', '')")
    return int(id)


async def take(connection: asyncpg.Connection, cluster_id: int, limit: int = 20) -> list[Directive]:
    """Directives that this session has not been given yet (or a minute ago without a result), oldest first."""
    rows = await connection.fetch(_TAKE, cluster_id, limit)
    found = [Directive(row["id"], row["kind"], msgspec.json.decode(row["args"])) for row in rows]
    return sorted(found, key=lambda directive: directive.id)


async def waiting(database: Database, cluster_id: int) -> bool:
    """Is there something to take? (a read; takes nothing)"""
    return bool(await database.readers.fetchval(_WAITING, cluster_id))


async def finish(connection: asyncpg.Connection, cluster_id: int, results: Sequence[DirectiveResult]) -> None:
    """Record results; one that is recorded already stays as it is. The cluster's own only."""
    for result in results:
        encoded = replaced(msgspec.json.encode(result.result))
        error = result.error[:4000].replace("\x00", "\ufffd")
        await connection.execute(_FINISH, cluster_id, result.id, error, encoded)


async def get(database: Database, id: int) -> DirectiveState | None:
    """How far a directive is."""
    row = await database.readers.fetchrow(_GET, id)
    if row is None:
        return None
    result = msgspec.json.decode(row["result"]) if row["result"] is not None else None
    return DirectiveState(
        row["id"], row["cluster_id"], row["kind"], row["taken"], row["finished"], row["error"], result
    )


_SAME = """
select id from fleet.directive
 where cluster_id = $1 and kind = $2 and args = $3 and finished is null and taken is null limit 1"""
_ADD = "insert into fleet.directive (cluster_id, kind, args) values ($1, $2, $3) returning id"
# The answer that carried a directive may have been lost: what is not finished is offered again after a while. An agent
# knows what it works on by the id.
_OPEN = """
d.cluster_id = $1 and d.finished is null
  and (d.taken is null or d.taken < (select opened from fleet.session where cluster_id = $1)
       or d.taken not between now() - interval '60 seconds' and now())"""
_WAITING = f"select exists (select from fleet.directive d where {_OPEN})"
_TAKE = f"""
update fleet.directive set taken = now()
 where id in (select id from fleet.directive d where {_OPEN} order by id limit $2 for update skip locked)
returning id, kind, args"""
_FINISH = """
update fleet.directive set finished = now(), error = $3, result = $4
 where cluster_id = $1 and id = $2 and finished is null"""
_GET = "select id, cluster_id, kind, taken, finished, error, result from fleet.directive where id = $1"


async def withdraw(connection: asyncpg.Connection, id: int) -> None:
    """Nobody waits for it any more."""
    await connection.execute(
        "update fleet.directive set finished = now(), error = 'withdrawn' where id = $1 and finished is null", id
    )
