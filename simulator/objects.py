"""The objects of one type in one member: the seed's, what changed since, and the recent changes that watches replay."""

from __future__ import annotations

import asyncio
import heapq
import random
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator
from itertools import islice

from . import status
from .population import SeedSet, key_of
from .rows import Row

RENDERED = 2000
"""Changes in this process whose event bytes are kept for the next watcher: about 25 MB of pods at most."""
_rendered: deque[Change] = deque()

Held = tuple[Row, int]
"""An object and its resourceVersion."""

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"


def remember_wire(change: Change) -> None:
    """Keeps the bytes of the newest events only."""
    _rendered.append(change)
    if len(_rendered) > RENDERED:
        _rendered.popleft().wire = None


class Change:
    """One write. `wire` holds the event's bytes while several watchers are being served the same."""

    __slots__ = ("before", "key", "kind", "row", "rv", "wire")

    def __init__(self, kind: str, key: bytes, row: Row, rv: int, before: Held | None) -> None:
        self.kind = kind
        self.key = key
        self.row = row
        self.rv = rv
        self.before = before
        self.wire: tuple[str, bytes] | None = None


class Objects:
    """What one type holds now. Versions of seed objects are `base` + ordinal, so they cost no memory."""

    def __init__(self, seed: SeedSet | None, base: int, window: int, oldest: int) -> None:
        """`window`: how many changes are kept for watches; `oldest`: the version from which they are complete."""
        self._seed = seed or SeedSet()
        self._base = base
        self.changed: dict[bytes, Held | None] = {}
        """Objects that are not as the seed has them; None for one that was deleted."""
        self._extra: list[bytes] = []
        """Keys that the seed does not have, in order."""
        self.changes: deque[Change] = deque(maxlen=window)
        self.written = 0
        """How many changes there ever were: a watcher's place is a value of it."""
        self.oldest = oldest
        self._waiting: set[asyncio.Future[None]] = set()
        self.count = len(self._seed.keys)

    # -- reading ---------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> Held | None:
        if key in self.changed:
            return self.changed[key]
        keys = self._seed.keys
        index = bisect_left(keys, key)
        if index < len(keys) and keys[index] == key:
            row = self._seed.rows[index]
            return row, self._base + row.ordinal
        return None

    def random_key(self, rng: random.Random) -> bytes | None:
        """A key that the type has or had; None when there never was one."""
        seeds, extra = self._seed.keys, self._extra
        if not seeds and not extra:
            return None
        index = rng.randrange(len(seeds) + len(extra))
        return seeds[index] if index < len(seeds) else extra[index - len(seeds)]

    def _keys(self, start: bytes, prefix: bytes, also: list[bytes]) -> Iterator[bytes]:
        """Keys from `start` on under `prefix`, in order, without repeats; some may be deleted."""
        end = prefix[:-1] + bytes([prefix[-1] + 1]) if prefix else b""
        parts = [
            islice(keys, bisect_left(keys, max(start, prefix)), bisect_left(keys, end) if end else len(keys))
            for keys in (self._seed.keys, self._extra, also)
            if keys
        ]
        last = None
        for key in heapq.merge(*parts) if len(parts) > 1 else (parts[0] if parts else ()):
            if key != last:
                yield key
            last = key

    def walk(self, namespace: str = "", start: bytes = b"", at: int | None = None) -> Iterator[tuple[bytes, Held]]:
        """Objects in key order from `start` on, as they were at version `at` (now when None).

        Raises StatusError 410 when `at` is older than what is kept."""
        prefix = namespace.encode() + b"/" if namespace else b""
        before = self.before(at) if at is not None else {}
        also = sorted(key for key in before if self.changed.get(key) is None)
        for key in self._keys(start, prefix, also):
            held = before[key] if key in before else self.get(key)
            if held is not None:
                yield key, held

    def before(self, at: int) -> dict[bytes, Held | None]:
        """The objects that changed after version `at`, as they were then."""
        if at < self.oldest:
            raise status.list_expired()
        earlier: dict[bytes, Held | None] = {}
        for change in reversed(self.changes):
            if change.rv <= at:
                break
            earlier[change.key] = change.before
        return earlier

    def count_at(self, at: int | None) -> int:
        if at is None:
            return self.count
        was = self.before(at)
        now = sum(self.get(key) is not None for key in was)
        return self.count - now + sum(held is not None for held in was.values())

    # -- writing ---------------------------------------------------------------------------------------------------

    def put(self, row: Row, rv: int) -> Change:
        """Creates or replaces an object."""
        key = key_of(row.namespace, row.name)
        before = self.get(key)
        if before is None:
            self.count += 1
            keys = self._seed.keys
            index = bisect_left(keys, key)
            if not (index < len(keys) and keys[index] == key):
                insort(self._extra, key)
        self.changed[key] = (row, rv)
        return self._publish(Change(ADDED if before is None else MODIFIED, key, row, rv, before))

    def delete(self, key: bytes, rv: int, row: Row | None = None) -> Change | None:
        """Removes an object; `row` is its last state where that differs from what was held."""
        before = self.get(key)
        if before is None:
            return None
        self.count -= 1
        index = bisect_left(self._extra, key)
        if index < len(self._extra) and self._extra[index] == key:
            del self._extra[index]
            del self.changed[key]
        else:
            self.changed[key] = None
        return self._publish(Change(DELETED, key, row or before[0], rv, before))

    def restore(self, key: bytes, held: Held | None) -> None:
        """Puts one object back as it was before a restart; None: it had been deleted. No watch hears of it."""
        there = self.get(key) is not None
        self.count += (held is not None) - there
        keys = self._seed.keys
        index = bisect_left(keys, key)
        if not (index < len(keys) and keys[index] == key) and held is not None and not there:
            insort(self._extra, key)
        self.changed[key] = held

    def _publish(self, change: Change) -> Change:
        if len(self.changes) == self.changes.maxlen:
            self.oldest = self.changes[0].rv
        self.changes.append(change)
        self.written += 1
        self.wake()
        return change

    def expire(self, now: int) -> None:
        """Forgets all past changes, as compaction does: older versions are 410 from here on."""
        self.changes.clear()
        self.oldest = now

    # -- watching --------------------------------------------------------------------------------------------------

    def since(self, place: int, most: int) -> list[Change] | None:
        """Up to `most` changes after a watcher's place; None when some of them are gone."""
        missing = self.written - place
        if missing > len(self.changes):
            return None
        start = len(self.changes) - missing
        return [self.changes[i] for i in range(start, min(start + most, len(self.changes)))]

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            _settle(future)

    async def wait(self, place: int, seconds: float) -> None:
        """Until there is a change after `place`, something else wakes the watchers, or the time is over."""
        if self.written != place or seconds <= 0:
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _settle, future)
        self._waiting.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._waiting.discard(future)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
