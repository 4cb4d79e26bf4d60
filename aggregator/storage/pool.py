"""Connections to the database: few writers (batches, and one for bookkeeping), more readers, one listener.

jsonb travels as bytes both ways: what Python carries it does not parse."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from aggregator.storage.failures import translated
from aggregator.storage.notify import Callback, Listener
from schema.errors import Unprocessable

OLDEST_SERVER: Final = 15
ACQUIRE_SECONDS: Final = 10.0
COMMAND_SECONDS: Final = 60.0
_POOLER = (
    "the database URL leads through a connection pooler in transaction mode (settings of a session do not stay); "
    "give a direct URL, or set the pooler to session mode"
)


class Connections:
    """A bounded pool. Waits at most ACQUIRE_SECONDS for a connection; raises Unavailable when the database is away."""

    def __init__(self, pool: asyncpg.Pool):
        self.pool = pool

    @asynccontextmanager
    async def acquire(self) -> AsyncIterator[asyncpg.Connection]:
        with translated():
            async with self.pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[asyncpg.Connection]:
        """A connection inside a transaction; `options` as of asyncpg (isolation, readonly)."""
        async with self.acquire() as connection, connection.transaction(**options):
            yield connection

    async def fetch(self, sql: str, *args: Any, timeout: float | None = None) -> list[asyncpg.Record]:
        async with self.acquire() as connection:
            rows: list[asyncpg.Record] = await connection.fetch(sql, *args, timeout=timeout)
            return rows

    async def fetchrow(self, sql: str, *args: Any, timeout: float | None = None) -> asyncpg.Record | None:
        # fetch, not fetchrow: asyncpg's row limit makes a parallel plan run serially.
        rows = await self.fetch(sql, *args, timeout=timeout)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, *args: Any, timeout: float | None = None) -> Any:
        row = await self.fetchrow(sql, *args, timeout=timeout)
        return row[0] if row else None

    async def execute(self, sql: str, *args: Any, timeout: float | None = None) -> str:
        async with self.acquire() as connection:
            status: str = await connection.execute(sql, *args, timeout=timeout)
            return status


class Database:
    """`readers` plan each query for its own values and cannot write; `writers` are for batches and bookkeeping."""

    def __init__(self, url: str, writers: asyncpg.Pool, readers: asyncpg.Pool):
        self.url = url
        self.writers = Connections(writers)
        self.readers = Connections(readers)
        self._listener = Listener(self._connect_listener)

    @classmethod
    async def open(cls, url: str, writers: int = 4, readers: int = 8, *, statement_timeout: float = 30.0) -> Database:
        """Connect and check the server. `statement_timeout` (seconds) holds for readers.

        Raises Unavailable when the database is away, Unprocessable when it is none that we can use."""
        with translated():
            await _check(url)
            write_pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=writers,
                max_inactive_connection_lifetime=0,
                command_timeout=COMMAND_SECONDS,
                init=_init,
                reset=_keep,
                server_settings={"application_name": "fleetpedia writer", "jit": "off"},
            )
            read_pool = await asyncpg.create_pool(
                url,
                min_size=0,
                max_size=readers,
                command_timeout=COMMAND_SECONDS,
                init=_init,
                reset=_keep,
                server_settings={
                    "application_name": "fleetpedia reader",
                    "jit": "off",
                    # A generic plan of a page turned an index scan into a sort of all rows (performance.md §10).
                    "plan_cache_mode": "force_custom_plan",
                    "statement_timeout": str(int(statement_timeout * 1000)),
                    "default_transaction_read_only": "on",
                },
            )
        return cls(url, write_pool, read_pool)

    async def listen(self, channel: str, callback: Callback) -> Callable[[], None]:
        """Call `callback()` at each notification on `channel`; returns what ends that. See notify.Listener."""
        return await self._listener.listen(channel, callback)

    async def close(self) -> None:
        await self._listener.close()
        for connections in (self.readers, self.writers):
            try:
                await asyncio.wait_for(connections.pool.close(), 5)
            except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connections.pool.terminate()

    async def _connect_listener(self) -> asyncpg.Connection:
        settings = {"application_name": "fleetpedia listener"}
        return await asyncpg.connect(self.url, timeout=ACQUIRE_SECONDS, server_settings=settings)


async def _init(connection: asyncpg.Connection) -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=_jsonb_in, decoder=_jsonb_out
    )


async def _keep(connection: asyncpg.Connection) -> None:
    """Given back as it is: nothing here changes a session's settings, and asyncpg's own reset is a round trip more for
    every question and every batch."""


def _jsonb_in(value: bytes) -> bytes:
    return b"\x01" + value


def _jsonb_out(value: bytes) -> bytes:
    return value[1:]


async def _check(url: str) -> None:
    """Refuse a server that is too old and a pooler that mixes sessions."""
    try:
        one = await asyncpg.connect(url, timeout=ACQUIRE_SECONDS)
        try:
            other = await asyncpg.connect(url, timeout=ACQUIRE_SECONDS)
            try:
                await _check_sessions(one, other)
            finally:
                await other.close(timeout=2)
        finally:
            await one.close(timeout=2)
    except asyncpg.InvalidCatalogNameError as error:
        raise Unprocessable(f"{error}; create it first (createdb), then start again") from error
    except asyncpg.InvalidAuthorizationSpecificationError as error:
        raise Unprocessable(f"the database refuses the user or password of its URL: {error}") from error
    except asyncpg.ProtocolViolationError as error:
        raise Unprocessable(f"{_POOLER}; it said: {error}") from error


async def _check_sessions(one: asyncpg.Connection, other: asyncpg.Connection) -> None:
    version = one.get_server_version()
    if version.major < OLDEST_SERVER:
        raise Unprocessable(f"this Postgres is version {version.major}; {OLDEST_SERVER} or newer is needed")
    # Two sessions that set one variable in turn: where they share a server connection, the first reads the second's.
    token = secrets.token_hex(8)
    set_probe = "select set_config('fleetpedia.probe', $1, false)"
    try:
        await one.execute(set_probe, token)
        await other.execute(set_probe, secrets.token_hex(8))
        kept = await one.fetchval("select current_setting('fleetpedia.probe', true)")
    except asyncpg.InvalidSQLStatementNameError as error:
        raise Unprocessable(_POOLER) from error
    if kept != token:
        raise Unprocessable(_POOLER)
