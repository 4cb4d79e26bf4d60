"""How much may happen at once: everything an agent asks for passes here, so that a thousand agents that come back
together are served in turn and the aggregator's memory has an upper bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from schema.errors import TooManyRequests


class Gate:
    """`slots` at a time, `waiting` more in a queue; who comes to a full queue is sent away for `retry_after` s."""

    def __init__(self, name: str, slots: int, waiting: int, retry_after: float):
        self._name = name
        self._slots = asyncio.Semaphore(slots)
        self._limit = waiting
        self._retry_after = retry_after
        self.waiting = 0

    @asynccontextmanager
    async def enter(self) -> AsyncIterator[None]:
        if self._slots.locked() and self.waiting >= self._limit:
            raise TooManyRequests(
                f"the aggregator is busy with {self._name}; try again in {self._retry_after:g} seconds",
                retry_after=self._retry_after,
            )
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            self._slots.release()


class OnePer:
    """At most one at a time for each cluster: two batches of one cluster in flight are a bug or a second agent."""

    def __init__(self, name: str):
        self._name = name
        self._inside: set[int] = set()

    @contextmanager
    def enter(self, cluster_id: int) -> Iterator[None]:
        if cluster_id in self._inside:
            raise TooManyRequests(f"another {self._name} of this cluster is in flight", retry_after=0.2)
        self._inside.add(cluster_id)
        try:
            yield
        finally:
            self._inside.discard(cluster_id)
