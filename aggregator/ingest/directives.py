"""Directives: agents wait here for what the aggregator wants of them, and bring back what came of it."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack

from aggregator.ingest.apply import Agent
from aggregator.ingest.gate import OnePer
from aggregator.ingest.session import IngestSettings
from aggregator.storage import directives as storage
from aggregator.storage import sessions
from aggregator.storage.pool import Database
from schema.errors import BadRequest, TooManyRequests
from schema.wire import Directives as DirectivesReply
from schema.wire import DirectivesRequest

MAX_WAIT = 25.0
POLL_SECONDS = 5.0
MAX_RESULTS = 100


class Directives:
    def __init__(self, database: Database, settings: IngestSettings):
        self._database = database
        self._limit = settings.waiting_agents
        self._one = OnePer("wait for directives")
        self.waiting: dict[int, asyncio.Event] = {}
        self._listening = False

    async def start(self) -> None:
        """Listen for new directives; without it (or while the database is away) a poll finds them."""
        await self._database.listen(storage.CHANNEL, self._wake_all)

    async def exchange(self, agent: Agent, request: DirectivesRequest) -> DirectivesReply:
        """Record results, then wait for directives, at most `wait` and MAX_WAIT seconds. Raises Fenced."""
        if len(request.done) > MAX_RESULTS:
            raise BadRequest(f"at most {MAX_RESULTS} results at a time")
        async with self._database.writers.transaction() as connection:
            await sessions.check(connection, agent.cluster_id, request.epoch)
            if request.done:
                await storage.finish(connection, agent.cluster_id, request.done)
        with ExitStack() as stack:
            stack.enter_context(self._one.enter(agent.cluster_id))
            if len(self.waiting) >= self._limit:
                raise TooManyRequests("too many agents wait for directives", retry_after=POLL_SECONDS)
            event = self.waiting[agent.cluster_id] = asyncio.Event()
            stack.callback(self.waiting.pop, agent.cluster_id)
            return await self._wait(agent, request, event)

    async def _wait(self, agent: Agent, request: DirectivesRequest, event: asyncio.Event) -> DirectivesReply:
        loop = asyncio.get_running_loop()
        until = loop.time() + min(max(request.wait, 0.0), MAX_WAIT)
        while True:
            event.clear()
            if await storage.waiting(self._database, agent.cluster_id):
                async with self._database.writers.transaction() as connection:
                    await sessions.check(connection, agent.cluster_id, request.epoch)
                    found = await storage.take(connection, agent.cluster_id)
                if found:
                    return DirectivesReply(found)
            left = until - loop.time()
            if left <= 0:
                return DirectivesReply()
            try:
                async with asyncio.timeout(min(left, POLL_SECONDS)):
                    await event.wait()
            except TimeoutError:
                pass

    def _wake_all(self) -> None:
        for event in self.waiting.values():
            event.set()
