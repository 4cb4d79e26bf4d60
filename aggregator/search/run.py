"""The engine: runs compiled questions. Every face goes through here, with the scope of who asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from zstandard import frame_content_size

from aggregator.rbac.scope import Scope
from aggregator.search import page
from aggregator.search.compile import Selection, compile_query, supported_fields
from aggregator.search.query import EVERYTHING, Field, Key, Query, leaves
from aggregator.storage import objects
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import ChangeFeed
from aggregator.storage.objects import Row
from aggregator.storage.pool import Database
from schema.errors import BadRequest, Expired, TooNew, Unavailable

MAX_PAGE_ROWS: Final = 10_000
MAX_PAGE_BYTES: Final = 8 * 1024 * 1024
"""Of compressed bodies; a page ends early there, with a token."""
MAX_WHOLE_BYTES: Final = 64 * 1024 * 1024
"""Of the same bodies as they are served: what compresses well must not fill the memory either."""
MAX_STREAMS: Final = 4
"""Lists without limit at a time: each holds a connection of the readers."""
STREAM_SECONDS: Final = 600.0
"""A list without limit ends then: a client that reads byte by byte must not keep one of the few for ever."""
STREAM_WAIT: Final = 10.0
"""Seconds to wait for one of them."""
FUTURE_SECONDS: Final = 3.0
_PATH_ROWS: Final = 5_000
_MOST_PATHS: Final = 5
"""Looked at for warnings; each costs a query, and a selector may hold thousands."""


@dataclass(frozen=True)
class Want:
    """What of the rows is read beside keys and narrow columns."""

    cells: bool = False
    body: bool = False


@dataclass(frozen=True)
class Page:
    """`cursor`: what a watch goes on from. `next`: "" on the last page. `remaining`: exact, or None."""

    rows: list[Row]
    cursor: int
    next: str = ""
    remaining: int | None = None


class Stream:
    """A whole answer, a chunk at a time, from one snapshot."""

    def __init__(self, chunks: objects.Chunks, cursor: int) -> None:
        self.next = chunks.next
        self.cursor = cursor


class Engine:
    def __init__(self, database: Database, catalog: Catalog, feed: ChangeFeed, max_list_rows: int = 1_000_000) -> None:
        self.database, self.catalog, self.feed = database, catalog, feed
        self.max_list_rows = max_list_rows
        self._streams = asyncio.Semaphore(MAX_STREAMS)

    async def page(self, query: Query, scope: Scope, want: Want, token: str = "") -> Page:
        """At most `query.limit` rows (and MAX_PAGE_ROWS), with a token where there is more.

        Raises BadRequest (names, token), Expired (token), Unavailable."""
        place = page.decode(token, query, self.catalog.store, self.feed.floor) if token else None
        selection = compile_query(query, scope, self.catalog)
        limit = min(query.limit or MAX_PAGE_ROWS, MAX_PAGE_ROWS)
        now = await self.feed.watermark()
        cursor = place.cursor if place else now
        total = self._total(query, scope, selection) if now == cursor else None
        sql = selection.rows(_columns(want), limit + 1, place.after if place else query.after)
        async with objects.reading(self.database, sql, total) as chunks:
            rows = await _collect(chunks, limit)
        if not rows.more:
            return Page(rows.rows, cursor)
        seen = (place.seen if place else 0) + len(rows.rows)
        last = rows.rows[-1]
        after = Key(last.type_id, last.namespace, last.name, last.cluster_id)
        left = (chunks.total or 0) - seen
        remaining = left if left > 0 else None
        return Page(
            rows.rows, cursor, page.encode(page.Place(cursor, seen, after), query, self.catalog.store), remaining
        )

    @asynccontextmanager
    async def stream(self, query: Query, scope: Scope, want: Want) -> AsyncIterator[Stream]:
        """Everything. Raises BadRequest where that is more than `max_list_rows`, Unavailable."""
        selection = compile_query(query, scope, self.catalog)
        await self._check_size(selection)
        try:
            async with asyncio.timeout(STREAM_WAIT):
                await self._streams.acquire()
        except TimeoutError as error:
            message = f"{MAX_STREAMS} lists without limit run already, and none ended in {STREAM_WAIT:.0f} s"
            raise Unavailable(f"{message}; give limit, or try again", retry_after=5.0) from error
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                cursor = await self.feed.watermark()
                async with objects.reading(self.database, selection.rows(_columns(want))) as chunks:
                    yield Stream(chunks, cursor)
        except TimeoutError as error:
            raise Unavailable(f"the list was not taken within {STREAM_SECONDS:.0f} s; give limit") from error
        finally:
            self._streams.release()

    async def count(self, query: Query, scope: Scope, cap: int) -> tuple[int, bool]:
        """Number of rows and whether it is exact; counting ends at `cap`."""
        selection = compile_query(query, scope, self.catalog)
        found: int = await objects.value(self.database, selection.count(cap + 1))
        return min(found, cap), found <= cap

    async def reach(self, version: int) -> None:
        """Wait until everything up to the cursor `version` can be read, at most FUTURE_SECONDS. Raises TooNew."""
        deadline = asyncio.get_running_loop().time() + FUTURE_SECONDS
        while (now := await self.feed.watermark()) < version:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                raise TooNew(
                    f"Too large resource version: {version}, current: {now}",
                    details={
                        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
                    },
                    retry_after=1.0,
                )
            await asyncio.sleep(min(0.05, left))

    async def exactly(self, version: int) -> None:
        """Only the present can be listed exactly. Raises Expired for the past, TooNew for the future."""
        await self.reach(version)
        if await self.feed.watermark() > version:
            raise Expired(f"resource version {version} is past and only the present can be listed; list without Exact")

    async def missing_paths(self, query: Query, scope: Scope, *, empty: bool) -> list[str]:
        """Paths of the question that no object has, for a warning (traps 10): positive ones of an `empty` answer, and
        all negative ones. Looks at no more than a few thousand rows of what the scope allows."""
        if query.type is None or query.type not in self.catalog.types:
            return []
        entry = self.catalog.types[query.type]
        everything = compile_query(replace(query, where=EVERYTHING), scope, self.catalog)
        known = supported_fields(entry)
        paths = {
            leaf.dotted: leaf.path
            for leaf, negated in leaves(query.where)
            if isinstance(leaf, Field) and leaf.dotted not in known and (negated or empty)
        }
        found = []
        for dotted, path in list(paths.items())[:_MOST_PATHS]:
            if not await objects.value(self.database, everything.any_with_path(path, _PATH_ROWS)):
                found.append(dotted)
        return found

    def _total(self, query: Query, scope: Scope, selection: Selection) -> objects.Statement | None:
        """The counters, where the question is no narrower than they are."""
        return None if selection.narrow or query.after else _counters(selection)

    async def _check_size(self, selection: Selection) -> None:
        total: int = await objects.value(self.database, _counters(selection))
        if total <= self.max_list_rows:
            return
        found = await objects.value(self.database, selection.count(self.max_list_rows + 1))
        if found > self.max_list_rows:
            raise BadRequest(
                f"the answer has more than {self.max_list_rows} objects (--max-list-rows): give limit, follow continue"
            )


@dataclass
class _Collected:
    rows: list[Row]
    more: bool


async def _collect(chunks: objects.Chunks, limit: int) -> _Collected:
    """At most `limit` rows, MAX_PAGE_BYTES and MAX_WHOLE_BYTES of bodies; at least one row where there is one."""
    rows: list[Row] = []
    size = whole = 0
    while chunk := await chunks.next():
        for row in chunk:
            if row.body:
                size += len(row.body)
                whole += frame_content_size(row.body)
            if rows and (len(rows) >= limit or size > MAX_PAGE_BYTES or whole > MAX_WHOLE_BYTES):
                return _Collected(rows, more=True)
            rows.append(row)
    return _Collected(rows, more=False)


def _columns(want: Want) -> str:
    return objects.columns(cells=want.cells, body=want.body)


def _counters(selection: Selection) -> objects.Statement:
    types, clusters = selection.type_ids, selection.cluster_ids
    return objects.counters(None if types is None else sorted(types), None if clusters is None else sorted(clusters))
