"""One type of one session: bring it in sync, then follow its watch; each failure has one way back.

run          for ever: sync when there is a reason to, follow, wait after failures
├── _sync    list into an empty store, or compare
└── _follow  one watch request, until it ends
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

import msgspec

from agent import errors
from agent.backoff import Backoff
from agent.compare import Comparison
from agent.errors import Forbidden, Gone, KubeError, NotFound, Oversized, Throttled
from agent.kube import Event, Watch
from agent.session import Rewound, Session, key_of
from agent.slim import Slimmer, Unreadable, version_of
from agent.status import TypeStatus
from schema.errors import Fenced, FleetpediaError
from schema.wire import StoredType

log = logging.getLogger(__name__)
DENIED_SECONDS: Final = 60.0
FAILURES_SHOWN: Final = 3
"""A watch that breaks once is not yet a failed type."""
SHORT_WATCH_SECONDS: Final = 1.0
HEALTHY_SECONDS: Final = 10.0


class Reflector:
    def __init__(
        self, session: Session, slimmer: Slimmer, stored: StoredType, status_changed: Callable[[], None]
    ) -> None:
        self.type = slimmer.type
        self.id = stored.id
        self.shape = slimmer.shape
        self.status = TypeStatus(stored.id, slimmer.type.name, status_changed)
        self.version = ""
        """Everything up to it is in the buffer or beyond."""
        self.failures = 0
        self._session, self.slimmer = session, slimmer
        self._stored = stored
        self._empty = stored.objects == 0
        self._comparison = Comparison(session, slimmer, stored.id)
        self._watch: Watch | None = None
        self._watch_since = 0.0
        self._wanted = ""
        self._broken_at: float | None = None
        """time.monotonic when the member was last seen before the watch broke by an error."""
        self._was_sure = False
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._backoff = Backoff(0.2, 30.0)

    def compare_soon(self, reason: str) -> None:
        """`relist`, or `digest`: at the version that the store stands at."""
        self._wanted = reason
        self._wake.set()
        if self._watch:
            self._watch.close()

    async def compared(self, reason: str) -> None:
        """Compare soon, and wait until that (or a sync that runs already) is through."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self.compare_soon(reason)
        await done

    def member_is_back(self, seen: float) -> None:
        """The member answers again; `seen`: time.monotonic at which it last had. Its old connections are dead."""
        self._wake.set()
        if self._watch and self._watch_since < seen:
            if self._broken_at is None:
                self._doubtful(seen)
            self._watch.close()

    def _doubtful(self, seen: float) -> None:
        """Until it is known that the member is the one that was seen last, a later session may not be sure either."""
        self._broken_at = seen
        self._was_sure = key_of(self.type) in self._session.sure.types
        self._session.sure.types.discard(key_of(self.type))

    async def run(self) -> None:
        """Ends by cancellation, or with Fenced."""
        reason = None
        while True:
            try:
                if reason is None:
                    reason = await self._why_sync()
                if not reason and self._broken_at is not None:
                    reason = await self._doubt(self._broken_at)
                    if reason == "rewound" and self._session.lineage.counter is not None:
                        raise Rewound("the member was restored from a backup")
                    self._broken_at = None
                    if not reason and self._was_sure:
                        self._session.sure.types.add(key_of(self.type))
                if reason:
                    await self._sync(reason)
                    reason = ""
                reason = await self._follow()
            except Gone as error:
                log.info("version expired", extra={"type": self.type.name, "reason": error.message})
                reason = "expired"
                await self._wait(self._backoff.next())
            except (KubeError, FleetpediaError, OSError) as error:
                if isinstance(error, Fenced):
                    raise
                if isinstance(error, Oversized) and reason == "":
                    reason = "oversized"  # the same version would bring the same event, for ever; a list goes past it
                await self._after(error)

    # -- in sync --------------------------------------------------------------------------------------------------
    async def _why_sync(self) -> str:
        """Why the stored version cannot be resumed from; empty where it can."""
        stored, session = self._stored, self._session
        if not stored.resource_version:
            return "first"
        if stored.shape != self.slimmer.shape:
            return "shape"
        self.version = stored.resource_version
        if key_of(self.type) in session.sure.types:
            return await self._doubt(session.kube.seen) if session.lineage.counter is None else await self._certain()
        return session.distrust or await self._certain()

    async def _certain(self) -> str:
        return await self._session.lineage.doubt(self.type.path, self.version)

    async def _doubt(self, seen: float) -> str:
        gap = time.monotonic() - seen
        return await self._session.lineage.doubt(self.type.path, self.version, gap)

    async def _sync(self, reason: str) -> None:
        session = self._session
        session.metrics.count("fleetpedia_resync_total", reason=reason)
        at = self.version if reason == "digest" else ""
        if not at:
            self.status.set("Listing")
        started, differing = time.monotonic(), 0
        if self._empty:
            self._empty = False
            version = await self._comparison.fill()
        else:
            outcome = await (self._comparison.renew() if reason == "shape" else self._comparison.compare(at))
            version, differing = outcome.version, len(outcome.differing)
            if outcome.exact and differing:
                session.metrics.count("fleetpedia_digest_mismatch_total", type=self.type.name)
                log.error("digest mismatch", extra={"type": self.type.name, "buckets": outcome.differing[:20]})
        self.version = version
        session.buffer.mark(self.id, version, listed=True, shape=self.slimmer.shape)
        session.sure.types.add(key_of(self.type))
        waiting, self._waiting = self._waiting, []
        for compared in waiting:
            if not compared.done():
                compared.set_result(None)
        log.info(
            "in sync",
            extra={
                "type": self.type.name,
                "reason": reason,
                "differing_buckets": differing,
                "seconds": round(time.monotonic() - started, 3),
            },
        )

    # -- watch ----------------------------------------------------------------------------------------------------
    async def _follow(self) -> str:
        """Returns the reason to sync next, empty for none: just watch on."""
        wanted = self._take_wanted()
        if wanted:
            return wanted
        self._wake.clear()
        started, seen_any = time.monotonic(), False
        self._watch_since = started
        self._watch = watch = self._session.kube.watch(self.type.path, self.version)
        try:
            async with aclosing(watch.events()) as stream:
                async for events in stream:
                    self.status.current()
                    if events:
                        seen_any = True
                        self._progressed()
                        await self._put(events)
        finally:
            self._watch = None
            self.status.lost()
            if time.monotonic() - started > HEALTHY_SECONDS:
                self._progressed()
        wanted = self._take_wanted()
        if wanted:
            return wanted
        if not seen_any and time.monotonic() - started < SHORT_WATCH_SECONDS:
            # A server that ends each watch at once must not be asked in a circle.
            await self._wait(self._backoff.next())
        return ""

    async def _put(self, events: list[Event]) -> None:
        buffer, session = self._session.buffer, self._session
        for event in events:
            raw = bytes(event.object)
            if event.kind != "BOOKMARK":
                await buffer.room()
                self._put_one(event.kind, raw)
            try:
                self.version = version_of(raw) or self.version
            except msgspec.DecodeError as error:
                raise errors.Unavailable(f"an event of {self.type.name} has no version: {error}") from error
        buffer.mark(self.id, self.version)
        session.metrics.count("fleetpedia_agent_events_total", len(events))

    def _put_one(self, kind: str, raw: bytes) -> None:
        try:
            make = self.slimmer.delete if kind == "DELETED" else self.slimmer.upsert
            delta = make(self.id, raw, time.time())
        except Unreadable as error:
            log.error("event skipped", extra={"type": self.type.name, "reason": str(error)})
            self._session.metrics.count("fleetpedia_rejected_objects_total", reason="unreadable")
            return
        self._session.buffer.put(delta)

    def _take_wanted(self) -> str:
        wanted, self._wanted = self._wanted, ""
        return wanted

    def _progressed(self) -> None:
        self.failures = 0
        self._backoff.reset()

    # -- failures -------------------------------------------------------------------------------------------------
    async def _after(self, error: KubeError | FleetpediaError | OSError) -> None:
        message = str(error)
        self.failures += 1
        self.status.lost()
        pause = self._backoff.next()
        if isinstance(error, Forbidden):
            self.status.set("Denied", message)
            pause = min(DENIED_SECONDS, pause * 4)
        elif isinstance(error, Throttled):
            pause = max(error.retry_after, pause)
        elif isinstance(error, NotFound) or self.failures >= FAILURES_SHOWN:
            self.status.set("Failed", message)
        if isinstance(error, KubeError) and not isinstance(error, (Forbidden, Throttled)) and self._broken_at is None:
            self._doubtful(self._session.kube.seen)
        level = logging.WARNING if self.failures in (1, FAILURES_SHOWN) else logging.DEBUG
        log.log(level, "type fails", extra={"type": self.type.name, "reason": message, "pause": round(pause, 2)})
        await self._wait(pause)

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()
