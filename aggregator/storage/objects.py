"""Reading fleet.object: the rows of a compiled question, in chunks, from one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final, NamedTuple

from aggregator.storage.pool import Database

Statement = tuple[str, tuple[Any, ...]]
CHUNK_ROWS: Final = 200


class Row(NamedTuple):
    """One object. `cells`, `layout` and `body` are None where they were not asked for."""

    cluster_id: int
    type_id: int
    namespace: str
    name: str
    uid: str
    cursor: int
    resource_version: str
    status: str
    created: datetime | None
    labels: list[str]
    cells: str | None
    layout: list[int] | None
    body: bytes | None


def columns(*, cells: bool = False, body: bool = False) -> str:
    """The select list of a Row. Without bodies nothing is read but the row itself."""
    return ", ".join(
        (
            *("o.cluster_id", "o.type_id", "o.namespace", "o.name", "o.uid", "o.cursor", "o.resource_version"),
            *("o.status", "o.created", "o.labels"),
            "o.cells" if cells else "null::text",
            "o.layout, o.body" if body else "null::integer[], null::bytea",
        )
    )


class Chunks:
    """The rows of one statement, a chunk at a time; `total` is what the counters said in the same snapshot."""

    def __init__(self, cursor: Any, total: int | None) -> None:
        self._cursor = cursor
        self.total = total

    async def next(self) -> list[Row]:
        """Empty at the end."""
        return [Row._make(record) for record in await self._cursor.fetch(CHUNK_ROWS)]


@asynccontextmanager
async def reading(database: Database, rows: Statement, total: Statement | None = None) -> AsyncIterator[Chunks]:
    """Hold one connection and one snapshot while the chunks are read. `total`: a statement that gives one number.

    Raises Unavailable. What the caller raises inside must not be an OSError or TimeoutError, which would be taken for
    the database's."""
    async with database.readers.transaction(isolation="repeatable_read", readonly=True) as connection:
        counted = await connection.fetchval(total[0], *total[1]) if total else None
        cursor = await connection.cursor(rows[0], *rows[1])
        yield Chunks(cursor, counted)


async def value(database: Database, statement: Statement, timeout: float | None = None) -> Any:
    """The one value of a statement: a count, a yes or no."""
    return await database.readers.fetchval(statement[0], *statement[1], timeout=timeout)


class Key(NamedTuple):
    cluster_id: int
    type_id: int
    namespace: str
    name: str


async def by_keys(database: Database, keys: Sequence[Key], columns: str) -> dict[Key, Row]:
    """The rows of these keys that are there."""
    if not keys:
        return {}
    records = await database.readers.fetch(_BY_KEYS.format(columns=columns), *map(list, zip(*keys, strict=True)))
    rows = [Row._make(record) for record in records]
    return {Key(row.cluster_id, row.type_id, row.namespace, row.name): row for row in rows}


_BY_KEYS: Final = """
select {columns}
  from unnest($1::integer[], $2::integer[], $3::text[], $4::text[]) k (cluster_id, type_id, namespace, name)
  join fleet.object o on (o.cluster_id, o.type_id, o.namespace, o.name) = (k.cluster_id, k.type_id, k.namespace, k.name)
"""


async def counted(database: Database, type_ids: Sequence[int] | None, cluster_ids: Sequence[int] | None) -> int:
    """Objects by the counters of the types, None = all."""
    total: int = await value(database, counters(type_ids, cluster_ids))
    return total


def counters(type_ids: Sequence[int] | None, cluster_ids: Sequence[int] | None) -> Statement:
    return (_COUNTERS, (type_ids, cluster_ids))


_COUNTERS: Final = """
select coalesce(sum(objects), 0)::bigint from fleet.cluster_type
 where ($1::integer[] is null or type_id = any($1::integer[]))
   and ($2::integer[] is null or cluster_id = any($2::integer[]))
"""


async def last_state(database: Database, cluster_id: int, type_id: int, uid: str, after: int) -> Row | None:
    """The object as its delete after the cursor `after` left it; None where no such change is kept."""
    record = await database.readers.fetchrow(_LAST_STATE, cluster_id, type_id, uid, after)
    return Row._make(record) if record else None


_LAST_STATE: Final = """
select cluster_id, type_id, namespace, name, uid, cursor, resource_version, '', created, labels, cells, layout, body
  from fleet.change
 where cursor > $4 and cluster_id = $1 and type_id = $2 and uid = $3 and op = 'deleted'
 order by cursor limit 1
"""
