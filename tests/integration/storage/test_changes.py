"""Whoever follows the change log sees each row once, in order, whatever commits when."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress

import asyncpg
import pytest

from aggregator.storage import changes as module
from aggregator.storage.changes import Change, ChangeFeed
from aggregator.storage.pool import Database
from schema.errors import Expired
from tests.integration.waiting import until

_WRITE = """
insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version)
select nextval('fleet.cursor'), $1, $2, 'added', '', $3::text, '', '' from generate_series(1, $4)"""


async def _write(connection: asyncpg.Connection, name: str, count: int = 1, cluster: int = 1, type: int = 1) -> None:
    await connection.execute("select fleet.begin_cursors()")
    await connection.execute(_WRITE, cluster, type, name, count)
    await connection.execute("select pg_notify('fleet_change', '')")


async def test_a_paused_committer_holds_the_watermark_below_its_numbers(database: Database, database_url: str) -> None:
    feed = ChangeFeed(database)
    await feed.start()
    slow, fast = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        transaction = slow.transaction()
        await transaction.start()
        await _write(slow, "slow")
        async with fast.transaction():
            await _write(fast, "fast")
        with feed.subscribe(feed.cursor) as subscription:
            await feed.advance()
            assert (await subscription.next(0)).changes == []
            await transaction.commit()
            await feed.advance()
            assert [change.name for change in (await subscription.next(0)).changes] == ["slow", "fast"]
    finally:
        await slow.close()
        await fast.close()


async def test_a_committer_that_rolls_back_frees_the_watermark(database: Database, database_url: str) -> None:
    feed = ChangeFeed(database)
    await feed.start()
    other = await asyncpg.connect(database_url)
    transaction = other.transaction()
    await transaction.start()
    await _write(other, "never", 5)
    async with database.writers.transaction() as connection:
        await _write(connection, "kept")
    assert await feed.watermark() == 0
    other.terminate()  # as when an aggregator is killed: the server gives its numbers up
    for _ in range(100):
        await feed.advance()
        if feed.cursor:
            break
        await asyncio.sleep(0.05)
    assert feed.cursor == 6
    assert [change.name for change in (await feed.read(0, feed.cursor)).changes] == ["kept"]


async def test_no_reader_skips_a_row_of_many_concurrent_writers(database: Database, database_url: str) -> None:
    """Four writers with random pauses between drawing numbers and committing; one tailing reader with small memory."""
    seed = random.Random(7)
    feed = ChangeFeed(database, poll_seconds=0.02)
    await feed.start()
    seen: list[Change] = []
    stopped = asyncio.Event()

    async def write(number: int) -> None:
        connection = await asyncpg.connect(database_url)
        try:
            for batch in range(60):
                transaction = connection.transaction()
                await transaction.start()
                await _write(connection, f"{number}-{batch}", seed.randrange(1, 5))
                await asyncio.sleep(seed.choice((0, 0, 0.001, 0.01)))
                await (transaction.rollback if seed.random() < 0.1 else transaction.commit)()
        finally:
            await connection.close()

    async def follow() -> None:
        with feed.subscribe(0) as subscription:
            while not (stopped.is_set() and subscription.cursor >= feed.cursor):
                seen.extend((await subscription.next(0.05)).changes)

    running = asyncio.create_task(feed.run())
    reader = asyncio.create_task(follow())
    await asyncio.gather(*(write(number) for number in range(4)))
    top = await feed.watermark()
    await until(lambda: feed.cursor >= top)
    stopped.set()
    await reader
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    rows = await database.readers.fetch("select cursor from fleet.change order by cursor")
    assert [change.cursor for change in seen] == [row[0] for row in rows]
    assert len(rows) > 300


async def test_a_slow_subscriber_reads_from_the_table(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_ROWS", 5)
    monkeypatch.setattr(module, "READ_ROWS", 4)
    feed = ChangeFeed(database)
    await feed.start()
    async with database.writers.transaction() as connection:
        await _write(connection, "a", 17, type=3)
        await _write(connection, "b", 5, type=4)
    while await feed.advance():
        pass
    with feed.subscribe(0, types=frozenset({3})) as subscription:
        got: list[Change] = []
        while subscription.cursor < feed.cursor:
            got.extend((await subscription.next(0)).changes)
    assert [change.cursor for change in got] == list(range(1, 18))


async def test_only_who_wants_a_type_is_woken(database: Database) -> None:
    feed = ChangeFeed(database)
    await feed.start()
    with feed.subscribe(0, frozenset({1})) as one, feed.subscribe(0, frozenset({2})) as two:
        for subscription in (one, two):
            await subscription.next(0)
        async with database.writers.transaction() as connection:
            await _write(connection, "x", type=1)
        await feed.advance()
        assert (one.woken.is_set(), two.woken.is_set()) == (True, False)
        assert (await two.next(0)).cursor == feed.cursor  # good for a bookmark all the same


async def test_a_cursor_below_the_floor_is_expired(database: Database) -> None:
    feed = ChangeFeed(database)
    async with database.writers.transaction() as connection:
        await _write(connection, "x", 10)
        await connection.execute("update fleet.store set floor = 5")
    await feed.start()
    with pytest.raises(Expired, match="list again"):
        await feed.read(4, feed.cursor)
    assert len((await feed.read(5, feed.cursor)).changes) == 5


async def test_the_feed_is_woken_by_a_notice(database: Database) -> None:
    feed = ChangeFeed(database, poll_seconds=60)
    await feed.start()
    running = asyncio.create_task(feed.run())
    with feed.subscribe(0) as subscription:
        await until(lambda: len(database._listener._callbacks.get("fleet_change", [])) == 1)
        await asyncio.sleep(0)
        async with database.writers.transaction() as connection:
            await _write(connection, "x")
        await until(lambda: feed.cursor == 1, 5)
        assert [change.name for change in (await subscription.next(5)).changes] == ["x"]
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
