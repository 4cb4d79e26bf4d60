"""Bring a database to the schema that this version needs.

Alembic only writes the SQL (and is only imported when there is something to do); it runs here, in one transaction,
under an advisory lock, so that two first starts do not race."""

from __future__ import annotations

import io
from importlib import resources
from typing import Final, NamedTuple

import asyncpg

from aggregator.storage.failures import translated
from schema.errors import Unprocessable

_LOCK: Final = 0x0F1E_E7ED_1A
_LOCK_WAIT: Final = "60s"
_DDL_WAIT: Final = "10s"
"""A migration that waits for a lock holds up everybody behind it; better to fail and be started again."""


class SchemaState(NamedTuple):
    """Revisions like "0002"; `current` is None in a database without our schema."""

    current: str | None
    head: str

    @property
    def is_current(self) -> bool:
        return self.current == self.head


async def schema_state(url: str) -> SchemaState:
    with translated():
        connection = await asyncpg.connect(url, timeout=10)
        try:
            return SchemaState(await _current(connection), head())
        finally:
            await connection.close(timeout=2)


async def migrate(url: str) -> SchemaState:
    """Upgrade to this version's schema; cheap when that is done. Returns the state from before.

    Raises Unprocessable for a database of a newer version and Unavailable when it is away or locked too long."""
    with translated():
        connection = await asyncpg.connect(url, timeout=10, command_timeout=600)
        try:
            before = SchemaState(await _current(connection), head())
            if not before.is_current:
                await _upgrade(connection)
            return before
        finally:
            await connection.close(timeout=2)


def head() -> str:
    """The newest revision: the number of the last SQL file."""
    names = [entry.name for entry in resources.files("schema.migrations").iterdir() if entry.name.endswith(".sql")]
    return max(names)[:4]


async def _current(connection: asyncpg.Connection) -> str | None:
    if await connection.fetchval("select to_regclass('fleet.alembic_version')") is None:
        return None
    version: str | None = await connection.fetchval("select version_num from fleet.alembic_version")
    return version


async def _upgrade(connection: asyncpg.Connection) -> None:
    await connection.execute("select set_config('lock_timeout', $1, false)", _LOCK_WAIT)
    await connection.execute("select pg_advisory_lock($1)", _LOCK)
    try:
        current = await _current(connection)
        if current == head():
            return  # another process was faster
        if current is not None and current > head():
            raise Unprocessable(f"the database has schema {current}, this version knows {head()}: use a newer version")
        await connection.execute("select set_config('lock_timeout', $1, false)", _DDL_WAIT)
        async with connection.transaction():
            await connection.execute("create schema if not exists fleet")
            await connection.execute(_script(current))
    finally:
        await connection.execute("select pg_advisory_unlock($1)", _LOCK)


def _script(current: str | None) -> str:
    """The SQL from revision `current` to the newest, as Alembic writes it."""
    from alembic import command
    from alembic.config import Config

    written = io.StringIO()
    config = Config(output_buffer=written)
    config.set_main_option("script_location", str(resources.files("schema.migrations")))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, f"{current or 'base'}:head", sql=True)
    return written.getvalue()
