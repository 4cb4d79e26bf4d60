from __future__ import annotations

import asyncio

import asyncpg
import pytest

from aggregator.storage import pool
from aggregator.storage.pool import Database
from schema.errors import Unavailable, Unprocessable


async def test_jsonb_travels_as_bytes_both_ways(database: Database) -> None:
    data = b'{"a": [1, "\xc3\xa4"]}'
    assert await database.writers.fetchval("select $1::jsonb", data) == data
    rows = await database.writers.fetch("select unnest($1::jsonb[])", [b"1", b'"x"'])
    assert [row[0] for row in rows] == [b"1", b'"x"']


async def test_readers_cannot_write(database: Database) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with database.readers.pool.acquire() as connection:
            await connection.execute("insert into fleet.setting values ('x', '1')")


async def test_a_reader_that_takes_too_long_is_unavailable(database_url: str) -> None:
    opened = await Database.open(database_url, statement_timeout=0.05)
    with pytest.raises(Unavailable, match="in time"):
        await opened.readers.fetch("select pg_sleep(5)")
    await opened.close()


async def test_a_database_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="the database is away"):
        await Database.open("postgresql://nobody@/x?host=/tmp/no-such-folder")


async def test_a_connection_that_is_cut_is_unavailable_and_the_next_one_works(database: Database) -> None:
    kill = (
        "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(50)' and state = 'active'"
    )
    waiting = asyncio.create_task(database.writers.execute("select pg_sleep(50)"))
    while not await database.readers.fetch(kill):  # noqa: ASYNC110 (Postgres has no event for it)
        await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="the database is away"):
        await waiting
    assert await database.writers.fetchval("select 1") == 1


async def test_a_missing_database_says_how_to_make_it(postgres_url: str) -> None:
    with pytest.raises(Unprocessable, match="createdb"):
        await Database.open(postgres_url.replace("/postgres?", "/no_such_one?"))


async def test_two_sessions_on_one_server_connection_are_refused(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    with pytest.raises(Unprocessable, match="transaction mode"):
        await pool._check_sessions(connection, connection)  # what a pooler in transaction mode comes to
    await connection.close()


async def test_an_old_server_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "OLDEST_SERVER", 99)
    with pytest.raises(Unprocessable, match="99 or newer"):
        await Database.open(database_url)
