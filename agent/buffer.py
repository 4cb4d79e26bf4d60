"""What is read but not yet committed. Keyed: the newest state of an object wins, deletes are kept.

An object that is deleted and made again is two entries, told apart by uid. The buffer is bounded in objects and bytes:
whoever fills it waits for `room`, so a slow aggregator slows the reading of lists and watches down."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Final

from schema.wire import Delete, Delta, Mark, Upsert

MAX_OBJECTS: Final = 1000
MAX_BYTES: Final = 4 * 1024 * 1024
MARK_SECONDS: Final = 5.0
"""A mark that nothing else calls for travels after this time, so that idle types do not cost a request each."""

Key = tuple[int, str, str]
_OVERHEAD: Final = 600


class Buffer:
    def __init__(self, max_objects: int = MAX_OBJECTS, max_bytes: int = MAX_BYTES) -> None:
        self._max_objects, self._max_bytes = max_objects, max_bytes
        self._deltas: dict[tuple[Key, str], Delta] = {}
        self._live: dict[Key, str] = {}
        """uid of the one buffered upsert of a key."""
        self._waiting: Counter[int] = Counter()
        self._flying: Counter[int] = Counter()
        self._marks: dict[int, Mark] = {}
        self._urgent = False
        self._marked = 0.0
        """Loop time of the oldest mark that waits."""
        self.bytes = 0
        self._changed = asyncio.Event()
        """Set when there may be something to take."""
        self._moved = asyncio.Condition()
        """Notified when something was taken or committed."""

    def __len__(self) -> int:
        return len(self._deltas)

    @property
    def full(self) -> bool:
        return len(self._deltas) >= self._max_objects or self.bytes >= self._max_bytes

    async def room(self) -> None:
        if self.full:
            async with self._moved:
                await self._moved.wait_for(lambda: not self.full)

    async def drained(self, type_id: int) -> None:
        """Wait until all that was put for a type is committed."""
        async with self._moved:
            await self._moved.wait_for(lambda: not self._waiting[type_id] and not self._flying[type_id])

    def put(self, delta: Delta) -> None:
        key = (delta.type, delta.namespace, delta.name)
        if isinstance(delta, Delete):
            if self._live.get(key) == delta.uid:
                del self._live[key]
        else:
            before = self._live.get(key)
            if before is not None and before != delta.uid:
                # Its delete was not seen; one batch must not hold two upserts of one key.
                self._set((key, before), Delete(*key, before, delta.seen))
            self._live[key] = delta.uid
        self._set((key, delta.uid), delta)
        self._changed.set()

    def mark(self, type_id: int, version: str, *, listed: bool = False, shape: str = "") -> None:
        """All of the type up to `version` has been put."""
        before = self._marks.get(type_id)
        if before is not None and before.listed and not listed:
            listed, shape = True, before.shape
        if not self._marks:
            self._marked = asyncio.get_running_loop().time()
            self._changed.set()
        self._marks[type_id] = Mark(type_id, version, listed, shape)
        if listed:
            self._urgent = True
            self._changed.set()

    async def forget(self, type_id: int) -> None:
        """Drop what is buffered of a type that is to be swept or begins anew."""
        for slot in [slot for slot in self._deltas if slot[0][0] == type_id]:
            self._drop(slot)
        self._marks.pop(type_id, None)
        # Where nothing is left, nothing is taken any more: who waits for room would wait for a mark of some idle type.
        await self._notify()

    async def take(self, max_deltas: int, max_bytes: int) -> tuple[list[Delta], list[Mark]]:
        """Wait for something to send, then hand it over; it counts as in flight until `committed`."""
        await self._something()
        deltas: list[Delta] = []
        size = 0
        for slot, delta in self._deltas.items():
            size += _size(delta)
            if deltas and (len(deltas) >= max_deltas or size > max_bytes):
                break
            deltas.append(delta)
            self._flying[slot[0][0]] += 1
        for delta in deltas:
            self._drop(((delta.type, delta.namespace, delta.name), delta.uid))
        marks = [mark for mark in self._marks.values() if not self._waiting[mark.type]]
        for mark in marks:
            del self._marks[mark.type]
        self._urgent = any(mark.listed for mark in self._marks.values())
        await self._notify()
        return deltas, marks

    async def committed(self, deltas: list[Delta]) -> None:
        for delta in deltas:
            self._flying[delta.type] -= 1
        await self._notify()

    async def _something(self) -> None:
        while not self._deltas and not self._urgent:
            self._changed.clear()
            try:
                async with asyncio.timeout_at(self._marked + MARK_SECONDS if self._marks else None):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _notify(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    def _set(self, slot: tuple[Key, str], delta: Delta) -> None:
        before = self._deltas.get(slot)
        if before is None:
            self._waiting[delta.type] += 1
        else:
            self.bytes -= _size(before)
        self._deltas[slot] = delta
        self.bytes += _size(delta)

    def _drop(self, slot: tuple[Key, str]) -> None:
        delta = self._deltas.pop(slot)
        self.bytes -= _size(delta)
        self._waiting[delta.type] -= 1
        if self._live.get(slot[0]) == slot[1] and not isinstance(delta, Delete):
            del self._live[slot[0]]


def _size(delta: Delta) -> int:
    return _OVERHEAD + (len(delta.body) + len(delta.cells) if isinstance(delta, Upsert) else 0)
