"""Liveness. The pulse asks the member whether it is there; the heartbeat tells the aggregator, member or no member."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from agent.errors import KubeError, Unavailable
from agent.facts import FactFinder
from agent.push import Push
from agent.session import Session, SessionEnd
from agent.types import Types
from schema.errors import Fenced, FleetpediaError
from schema.wire import Heartbeat, HeartbeatReply

log = logging.getLogger(__name__)
PROBE: Final = "/version"
PROBE_SECONDS: Final = 5.0
AWAY_SECONDS: Final = 1.0
"""Between probes while the member is away, so that it is back soon after it is back."""
SOON_SECONDS: Final = 0.3
"""Changes of types within so short a time travel together."""


class Heart:
    """`types` is None while the member is paused: then only liveness is told."""

    def __init__(self, session: Session, facts: FactFinder, push: Push | None, types: Types | None) -> None:
        self._session, self._facts, self._push, self._types = session, facts, push, types
        self._soon = asyncio.Event()
        self._first = True
        self._failing = ""
        self.away = False
        self._seen_before = 0.0

    def soon(self) -> None:
        """Something changed that the aggregator should hear of before the next regular beat."""
        self._soon.set()

    async def run(self) -> None:
        """Raises SessionEnd where the aggregator wants another session, Fenced where it has one."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pulse())
            group.create_task(self._ask_facts())
            while True:
                await self._beat()
                try:
                    async with asyncio.timeout(self._session.welcome.heartbeat_seconds):
                        await self._soon.wait()
                    await asyncio.sleep(SOON_SECONDS)
                except TimeoutError:
                    pass
                self._soon.clear()

    # -- the member -----------------------------------------------------------------------------------------------
    async def _pulse(self) -> None:
        kube, every = self._session.kube, self._session.welcome.heartbeat_seconds / 2
        while True:
            seen = kube.seen
            if time.monotonic() - seen >= every or self.away:
                await self._probe(seen)
            await asyncio.sleep(AWAY_SECONDS if self.away else every)

    async def _probe(self, seen: float) -> None:
        kube = self._session.kube
        try:
            await kube.get(PROBE, timeout=PROBE_SECONDS)
        except Unavailable as error:
            if not self.away:
                log.warning("the member does not answer", extra={"reason": error.message})
                self.soon()
                self._seen_before = seen
            self.away = True
            return
        except KubeError:
            pass  # it says no, so it is there
        if self.away:
            log.info("the member answers again")
            self.soon()
            for reflector in self._types.reflectors if self._types else ():
                reflector.member_is_back(self._seen_before)
        self.away = False

    async def _ask_facts(self) -> None:
        while True:
            before = str(self._facts.facts)
            await self._facts.refresh()
            if str(self._facts.facts) != before:
                self.soon()
            await asyncio.sleep(5)

    # -- the aggregator -------------------------------------------------------------------------------------------
    async def _beat(self) -> None:
        session = self._session
        reports = [
            report
            for reflector in (self._types.reflectors if self._types else ())
            if (report := reflector.status.report(self._first)) is not None
        ]
        beat = Heartbeat(
            session.epoch,
            max(0.0, time.monotonic() - session.kube.seen),
            self._facts.facts,
            reports,
            len(session.buffer),
            session.buffer.bytes,
            session.kube.message if self.away else "",
            session.lineage.counter,
        )
        try:
            reply = await session.hub.call("heartbeat", beat, HeartbeatReply, timeout=20)
        except Fenced:
            raise
        except FleetpediaError as error:
            self._lost(error)
            return
        self._first, self._failing = False, ""
        self._obey(reply)

    def _lost(self, error: FleetpediaError) -> None:
        """What this beat said is said again in full by the next."""
        self._first = True
        if not self._failing:
            log.warning("the aggregator does not take heartbeats", extra={"reason": error.message})
        self._failing = error.message

    def _obey(self, reply: HeartbeatReply) -> None:
        welcome = self._session.welcome
        if reply.paused != welcome.paused:
            raise SessionEnd("paused" if reply.paused else "resumed")
        if reply.policy_generation != welcome.policy_generation:
            raise SessionEnd("the sync policy changed")
        if reply.store and reply.store != welcome.store:
            raise SessionEnd("the store is another one")
