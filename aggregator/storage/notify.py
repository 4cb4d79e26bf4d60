"""Wake-ups: one connection that listens on all channels and comes back by itself.

A notification is a hint to look now, never the news itself: while the connection is away some are missed, so after each
reconnect every callback is called once, and all who listen poll as well."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

log = logging.getLogger(__name__)
Callback = Callable[[], None]
_PROBE_SECONDS: Final = 20.0
_RETRY_SECONDS: Final = 1.0


class Listener:
    """Callbacks run in the event loop; they must be short and must not raise."""

    def __init__(self, connect: Callable[[], Awaitable[asyncpg.Connection]]):
        self._connect = connect
        self._callbacks: dict[str, list[Callback]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._listening: set[str] = set()
        self._ready = asyncio.Event()

    async def listen(self, channel: str, callback: Callback) -> Callable[[], None]:
        """Call `callback` for each notification on `channel` (and after each reconnect); returns what ends that.

        Returns once the channel is listened on, or at once when the database is away just now."""
        self._callbacks.setdefault(channel, []).append(callback)
        self._ready.clear()
        self._changed.set()
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="database listener")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._ready.wait()

        def stop() -> None:
            with contextlib.suppress(ValueError):
                self._callbacks[channel].remove(callback)

        return stop

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            try:
                await self._session()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("listening on the database ended, trying again: %s", error or type(error).__name__)
                await asyncio.sleep(_RETRY_SECONDS)

    async def _session(self) -> None:
        connection = await self._connect()
        try:
            self._listening.clear()
            connection.add_termination_listener(lambda _: self._changed.set())
            while not connection.is_closed():
                self._changed.clear()
                await self._listen_on_new(connection)
                self._ready.set()
                try:
                    async with asyncio.timeout(_PROBE_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    await connection.execute("select 1", timeout=_PROBE_SECONDS)
            raise ConnectionError("the database closed the connection")
        finally:
            with contextlib.suppress(Exception):
                await connection.close(timeout=1)

    async def _listen_on_new(self, connection: asyncpg.Connection) -> None:
        for channel in [name for name in self._callbacks if name not in self._listening]:
            await connection.add_listener(channel, self._notified)
            self._listening.add(channel)
            self._notified(connection, 0, channel, "")

    def _notified(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        for callback in self._callbacks.get(channel, ()):
            callback()
