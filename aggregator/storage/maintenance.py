"""What keeps the database in shape: sweeps, partitions of the change log, old bookkeeping. Always in bounded steps."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

import asyncpg

from aggregator.storage import types
from aggregator.storage.pool import Database
from schema.errors import Unavailable

log = logging.getLogger(__name__)
PARTITIONS: Final = 12
"""Into how many the retention is cut; at most one more than that is kept."""
AHEAD: Final = 3
STEP_ROWS: Final = 5000
KEEP_DIRECTIVES_DAYS: Final = 7
KEEP_OPERATIONS_DAYS: Final = 90


class Maintenance:
    """`retention`: seconds of the change log. `sweep_wanted`: set when types are to be swept (Ingest.sweep_wanted).
    Call `prepare` once before the first batch, then keep `run` running."""

    def __init__(self, database: Database, sweep_wanted: asyncio.Event, retention: float = 86_400.0):
        self._database = database
        self._sweep_wanted = sweep_wanted
        self._retention = max(1, round(retention))
        self._width = min(max(10, self._retention // PARTITIONS), 86_400)

    async def prepare(self) -> None:
        """Have partitions for new changes where that can be; without, changes go into the default partition."""
        await _survived("a new partition of the change log", self._make_partitions())

    async def _make_partitions(self) -> None:
        await self._database.writers.execute("select fleet.make_change_partitions($1, $2)", self._width, AHEAD)

    async def run(self) -> None:
        """For ever: sweep when asked (and every few seconds, for what an earlier process left), trim now and then."""
        trimmed = 0.0
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(5.0):
                    await self._sweep_wanted.wait()
            except TimeoutError:
                pass
            self._sweep_wanted.clear()
            await _survived("the sweep", self.sweep())
            if loop.time() - trimmed >= self._width / 4:
                # Each by itself: a log that finds no new partition must be trimmed all the same.
                whole = await _survived("a new partition of the change log", self._make_partitions())
                whole &= await _survived("trimming the change log", self.trim())
                whole &= await _survived("clearing the bookkeeping", self.clear_bookkeeping())
                if whole:
                    trimmed = loop.time()

    async def sweep(self) -> int:
        """Clear out all types that are gone or excluded; how many types that were."""
        async with self._database.writers.acquire() as connection:
            waiting = await types.to_sweep(connection)
        for cluster_id, type_id in waiting:
            done = False
            while not done:
                # One connection per step: a sweep of a large type lets batches in between.
                async with self._database.writers.acquire() as connection:
                    done = await types.sweep(connection, cluster_id, type_id)
            log.info("type %d of cluster %d is swept", type_id, cluster_id)
        return len(waiting)

    async def trim(self) -> None:
        """Drop changes from before the retention. The floor is raised and committed first."""
        floor = await self._database.writers.fetchval("select fleet.raise_floor($1)", self._retention)
        while True:
            gone = await self._database.writers.fetchval(
                "select fleet.drop_changes($1, $2)", self._retention, STEP_ROWS
            )
            if gone < STEP_ROWS:
                break
        log.debug("the change log begins after %d", floor)

    async def clear_bookkeeping(self) -> None:
        """Close directives that no agent fetched for a day; forget finished ones and old operations."""
        for statement, days in (
            (_EXPIRE_DIRECTIVES, 1),
            (_CLEAR_DIRECTIVES, KEEP_DIRECTIVES_DAYS),
            (_CLEAR_OPERATIONS, KEEP_OPERATIONS_DAYS),
        ):
            await self._database.writers.execute(statement, days, STEP_ROWS)


async def _survived(what: str, step: Awaitable[object]) -> bool:
    """Whether `step` went well. No error of the database may end the process: what it stops is done the next time."""
    try:
        await step
    except Unavailable as error:
        log.warning("maintenance: %s waits: %s", what, error)
        return False
    except (asyncpg.PostgresError, asyncpg.InterfaceError):
        log.exception("maintenance: %s failed; trying again later", what)
        return False
    return True


_EXPIRE_DIRECTIVES = """
update fleet.directive set finished = now(), error = 'no agent answered within a day'
 where id in (select id from fleet.directive
               where finished is null and created < now() - make_interval(days => $1) order by id limit $2)"""
_CLEAR_DIRECTIVES = """
delete from fleet.directive
 where id in (select id from fleet.directive where finished < now() - make_interval(days => $1) order by id limit $2)"""
_CLEAR_OPERATIONS = """
delete from fleet.operation
 where id in (select id from fleet.operation where finished < now() - make_interval(days => $1) order by id limit $2)"""
