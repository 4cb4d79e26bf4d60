"""The change log, tailed once for all who watch.

One task reads new rows up to the watermark and keeps the newest in memory; each subscriber has only a cursor. Who falls
behind what is kept in memory reads from the table, so a slow subscriber costs nothing and loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, cast

from aggregator.storage.pool import Database
from schema.errors import Expired, Unavailable

log = logging.getLogger(__name__)
CHANNEL: Final = "fleet_change"
Op = Literal["added", "modified", "deleted", "cluster-removed"]
READ_ROWS: Final = 2000
KEPT_ROWS: Final = 20_000
KEPT_BYTES: Final = 32 * 1024 * 1024


class Change(NamedTuple):
    """One row of fleet.change. `labels_before`, `fields_before`: None where they are as after (and for `added`).
    `cells`, `layout`, `body`: of a delete, the last state. `type_id` is 0 in `cluster-removed`."""

    cursor: int
    at: datetime
    cluster_id: int
    type_id: int
    op: Op
    namespace: str
    name: str
    uid: str
    resource_version: str
    labels: list[str]
    fields: list[str]
    labels_before: list[str] | None
    fields_before: list[str] | None
    created: datetime | None
    cells: str | None
    layout: list[int] | None
    body: bytes | None


class Changes(NamedTuple):
    """`changes` in order; everything up to `cursor` (that the subscriber wants) is in them or came before."""

    changes: Sequence[Change]
    cursor: int


class Subscription:
    """A reader of the log with its place in it. `types`: ids wanted, None = all; cluster-removed always comes."""

    def __init__(self, feed: ChangeFeed, after: int, types: frozenset[int] | None):
        self.cursor = after
        self.types = types
        self._feed = feed
        self.woken = asyncio.Event()
        self.woken.set()

    async def next(self, timeout: float) -> Changes:
        """What came since the last call, at most about READ_ROWS changes; waits for something up to `timeout` seconds.

        May be empty: then nothing wanted came, and `cursor` is good for a bookmark. Raises Expired when the place is no
        longer kept, Unavailable when the database is away."""
        found = await self._read()
        if not found.changes and found.cursor >= self._feed.cursor:
            try:
                async with asyncio.timeout(timeout):
                    await self.woken.wait()
            except TimeoutError:
                pass
            found = await self._read()
        return found

    async def _read(self) -> Changes:
        self.woken.clear()
        found = self._feed.recent(self.cursor, self.types)
        if found is None:
            found = await self._feed.read(self.cursor, self._feed.cursor, self.types)
        self.cursor = max(self.cursor, found.cursor)
        return found


class ChangeFeed:
    """Call `start` once, then keep `run` running. `cursor` is the newest known watermark."""

    def __init__(self, database: Database, poll_seconds: float = 1.0):
        self.cursor = 0
        self.floor = 0
        """Changes up to it may be gone; cursors below it are Expired."""
        self._database = database
        self._poll_seconds = poll_seconds
        self._woken = asyncio.Event()
        self._kept: deque[Change] = deque()
        self._kept_bytes = 0
        self._kept_after = 0
        """All changes above it, up to `cursor`, are in `_kept`."""
        self._subscriptions: set[Subscription] = set()

    async def start(self) -> None:
        """Find the end of the log. Raises Unavailable."""
        self.cursor, self.floor = await self._ends()
        self._kept_after = self.cursor

    async def watermark(self) -> int:
        """The watermark of this moment: what committed before the call is at or below it. Raises Unavailable."""
        value: int = await self._database.readers.fetchval("select fleet.watermark()")
        return value

    @contextmanager
    def subscribe(self, after: int, types: frozenset[int] | None = None) -> Iterator[Subscription]:
        """Follow the log from `after` (exclusive)."""
        subscription = Subscription(self, after, types)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def recent(self, after: int, types: frozenset[int] | None) -> Changes | None:
        """As `read` up to `cursor`, from memory; None where memory does not reach back to `after`."""
        if after < self._kept_after:
            return None
        found: list[Change] = []
        for change in reversed(self._kept):
            if change.cursor <= after:
                break
            if types is None or change.type_id in types or change.type_id == 0:
                found.append(change)
        found.reverse()
        if len(found) > READ_ROWS:
            return Changes(found[:READ_ROWS], found[READ_ROWS - 1].cursor)
        return Changes(found, max(self.cursor, after))

    async def read(self, after: int, upto: int, types: frozenset[int] | None = None, limit: int = READ_ROWS) -> Changes:
        """Changes with `after` < cursor ≤ `upto` from the table, at most `limit`, in order. `upto` must be at most a
        watermark. Raises Expired when `after` is below what is kept, Unavailable."""
        wanted = None if types is None else [0, *types]
        rows = await self._database.readers.fetch(_READ, after, upto, wanted, limit)
        # Read after the rows: a partition that was dropped in between has raised the floor first.
        floor = await self._database.readers.fetchval("select floor from fleet.store")
        self.floor = max(self.floor, floor)
        if after < floor:
            raise Expired(f"cursor {after} is older than the change log, which begins after {floor}; list again")
        found = [Change(*row) for row in rows]
        return Changes(found, found[-1].cursor if len(found) == limit else upto)

    async def run(self) -> None:
        """Tail the log, for ever: at each notice and each `poll_seconds`."""
        stop = await self._database.listen(CHANNEL, self._woken.set)
        try:
            while True:
                try:
                    async with asyncio.timeout(self._poll_seconds):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                self._woken.clear()
                try:
                    while await self.advance():
                        pass
                except Unavailable as error:
                    log.warning("the change log cannot be read: %s", error)
                    await asyncio.sleep(self._poll_seconds)
        finally:
            stop()

    async def advance(self) -> bool:
        """Read what is new once; true where there is more already."""
        top, floor = await self._ends()
        self.floor = max(self.floor, floor)
        if top <= self.cursor:
            return False
        rows = await self._database.readers.fetch(_READ, self.cursor, top, None, READ_ROWS)
        found = [Change(*cast("tuple[Any, ...]", row)) for row in rows]
        more = len(found) == READ_ROWS
        self._keep(found)
        self.cursor = found[-1].cursor if more else top
        self._wake(found)
        return more

    async def _ends(self) -> tuple[int, int]:
        row = await self._database.readers.fetchrow("select fleet.watermark(), floor from fleet.store")
        if row is None:
            raise Unavailable("the database has no row in fleet.store: it is not migrated")
        return row[0], row[1]

    def _keep(self, found: list[Change]) -> None:
        self._kept.extend(found)
        self._kept_bytes += sum(_size(change) for change in found)
        while len(self._kept) > KEPT_ROWS or self._kept_bytes > KEPT_BYTES:
            dropped = self._kept.popleft()
            self._kept_bytes -= _size(dropped)
            self._kept_after = dropped.cursor

    def _wake(self, found: list[Change]) -> None:
        types = {change.type_id for change in found}
        for subscription in self._subscriptions:
            if subscription.types is None or 0 in types or not types.isdisjoint(subscription.types):
                subscription.woken.set()


def _size(change: Change) -> int:
    return 300 + len(change.body or b"")


_READ = """
select cursor, at, cluster_id, type_id, op, namespace, name, uid, resource_version, labels, fields,
       labels_before, fields_before, created, cells, layout, body
  from fleet.change
 where cursor > $1 and cursor <= $2 and ($3::integer[] is null or type_id = any($3::integer[]))
 order by cursor limit $4"""
