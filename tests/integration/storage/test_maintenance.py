"""The change log keeps what it should, in partitions, and says where it begins."""

from __future__ import annotations

import asyncio

import pytest

from aggregator.storage.changes import ChangeFeed
from aggregator.storage.maintenance import Maintenance
from aggregator.storage.pool import Database
from schema.errors import Expired

_WRITE = """
insert into fleet.change (cursor, at, cluster_id, type_id, op, namespace, name, uid, resource_version)
select nextval('fleet.cursor'), now() + make_interval(secs => $1), 1, 1, 'added', '', 'x', '', ''
  from generate_series(1, $2)"""
_PARTITIONS = """
select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
 where i.inhparent = 'fleet.change'::regclass and c.relname ~ '^change_[0-9]' order by 1"""


async def test_partitions_are_made_ahead_once_and_join(database: Database) -> None:
    maintenance = Maintenance(database, asyncio.Event(), retention=1200)
    await maintenance.prepare()
    await maintenance.prepare()
    bounds = [tuple(map(int, row[0].split("_")[1:])) for row in await database.readers.fetch(_PARTITIONS)]
    assert len(bounds) == 3
    assert all(to - start == 100 for start, to in bounds)
    assert [start for start, _ in bounds[1:]] == [to for _, to in bounds[:-1]]
    wider = Maintenance(database, asyncio.Event(), retention=12_000)  # a changed setting goes on where the other ends
    await wider.prepare()
    await database.writers.execute(_WRITE, 1500.0, 3)
    assert await database.readers.fetchval("select count(*) from only fleet.change_default") == 0


async def test_what_is_older_than_the_retention_goes_and_raises_the_floor(database: Database) -> None:
    await database.writers.execute(_WRITE, -500.0, 4)  # into the default partition
    await database.writers.execute(
        "create table fleet.change_1000_2000 partition of fleet.change "
        "for values from (to_timestamp(1000)) to (to_timestamp(2000))"
    )
    await database.writers.execute(_WRITE.replace("now()", "to_timestamp(1500)"), 0.0, 5)
    await database.writers.execute(_WRITE, 0.0, 6)
    maintenance = Maintenance(database, asyncio.Event(), retention=60)
    await maintenance.trim()
    rows = await database.readers.fetch("select cursor from fleet.change order by cursor")
    assert [row[0] for row in rows] == list(range(10, 16))
    assert await database.readers.fetch(_PARTITIONS) == []
    feed = ChangeFeed(database)
    await feed.start()
    assert feed.floor == 9
    with pytest.raises(Expired):
        await feed.read(8, feed.cursor)
    assert len((await feed.read(9, feed.cursor)).changes) == 6


async def test_a_refusal_of_the_database_does_not_end_maintenance(database: Database) -> None:
    """The clock was set back: rows of the future lie in the default partition, and no partition can be made there."""
    await database.writers.execute(_WRITE, 25.0, 1)
    await database.writers.execute(_WRITE, -500.0, 4)
    wanted = asyncio.Event()
    wanted.set()
    maintenance = Maintenance(database, wanted, retention=60)
    await maintenance.prepare()
    assert await database.readers.fetch(_PARTITIONS) == []
    running = asyncio.create_task(maintenance.run())
    try:
        async with asyncio.timeout(20):
            while await database.readers.fetchval("select count(*) from fleet.change") > 1:
                assert not running.done()
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_directives_that_nobody_fetches_are_closed(database: Database) -> None:
    await database.writers.execute("insert into fleet.cluster (name) values ('one')")
    await database.writers.execute(
        "insert into fleet.directive (cluster_id, kind, created, finished) select id, 'verify', now() - d, f "
        "from fleet.cluster, (values (interval '2 days', null), (interval '1 hour', null), "
        "(interval '9 days', now() - interval '8 days')) as v(d, f)"
    )
    await Maintenance(database, asyncio.Event()).clear_bookkeeping()
    rows = await database.readers.fetch("select error from fleet.directive order by id")
    assert [row[0] for row in rows] == ["no agent answered within a day", ""]
