"""One member: session after session, until the cluster is removed."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Iterable
from typing import Final

import msgspec

from agent import logs
from agent.access import Access, AccessError, in_cluster
from agent.backoff import Backoff
from agent.buffer import Buffer
from agent.directives import Closed, Orders
from agent.errors import KubeError
from agent.facts import FactFinder
from agent.files import WatchedFile
from agent.heartbeat import Heart
from agent.hub import Hub
from agent.kube import Kube
from agent.kubeconfig import load
from agent.lineage import SIGHT_SECONDS, Lineage
from agent.metrics import Metrics, Sample
from agent.proof import prove
from agent.push import Push, SessionLost
from agent.session import Rewound, Session, SessionEnd, Sure
from agent.settings import MemberSettings, Settings
from agent.types import Types
from schema.errors import Conflict, Fenced, FleetpediaError, Forbidden, Unauthorized
from schema.wire import WIRE_VERSION, DirectiveResult, Hello, Welcome

log = logging.getLogger(__name__)
VERSION: Final = "0.1.0"
FENCED_SECONDS: Final = 20.0
"""A newer session of this cluster lives elsewhere: stand by for so long before trying to take over."""
REFUSED_SECONDS: Final = 20.0
DEFECT_SECONDS: Final = 10.0
LASTING_SECONDS: Final = 60.0
"""A session that lasted so long was a good one: waits begin short again."""
KUBE_SYSTEM: Final = "/api/v1/namespaces/kube-system"


class _Metadata(msgspec.Struct):
    uid: str = ""


class _Namespace(msgspec.Struct):
    metadata: _Metadata


class Member:
    def __init__(self, settings: Settings, own: MemberSettings) -> None:
        self._settings, self._own = settings, own
        self.metrics = Metrics()
        self.metrics.cluster = own.name
        self.metrics.gauges = self._gauges
        self.trouble = "starting"
        """Why there is no session; empty while there is one."""
        self._instance = secrets.token_hex(8)
        self._sure = Sure()
        self._store = ""
        self._done: list[DirectiveResult] = []
        self._fenced = Backoff(FENCED_SECONDS, 600.0)
        self._session: Session | None = None
        self._types: Types | None = None

    @property
    def ready(self) -> bool:
        """There is a session and no type waits for its first list."""
        if self._session is None or self._types is None:
            return self._session is not None and self._session.welcome.paused
        reflectors = self._types.reflectors
        return bool(reflectors) and all(one.status.state not in ("Pending", "Listing") for one in reflectors)

    async def run(self) -> None:
        """Ends when the aggregator has removed the cluster. Raises AccessError where the settings cannot work."""
        logs.member.set(self._own.name)
        hub_access = Access(
            self._own.server,
            ca=WatchedFile(self._own.ca_file) if self._own.ca_file else None,
            token=WatchedFile(self._own.token_file),
        )
        async with Kube(self._access()) as kube, Hub(hub_access) as hub:
            lineage = Lineage(kube, self._instance, self._lease_allowed(kube.access))
            backoff = Backoff(0.5, 30.0)
            while True:
                pause = await self._one_session(kube, hub, lineage, backoff)
                if pause is None:
                    return
                await asyncio.sleep(pause)

    def _access(self) -> Access:
        return load(self._own.kubeconfig, self._own.context) if self._own.kubeconfig else in_cluster()

    def _lease_allowed(self, access: Access) -> bool:
        return self._own.lease == "on" or (self._own.lease == "auto" and access.in_cluster)

    async def _one_session(self, kube: Kube, hub: Hub, lineage: Lineage, backoff: Backoff) -> float | None:
        """Seconds until the next one, None for never."""
        started = time.monotonic()
        try:
            await self._session_of(kube, hub, lineage)
            raise SessionEnd("all of its parts have ended")
        except Exception as error:  # whatever it was, the next session begins from what is committed
            decisive, opened = _decisive(error), self._session is not None
            self._session = self._types = None
            if not opened and isinstance(decisive, (KubeError, AccessError, Conflict)):
                await self._tell(hub, decisive)
            if time.monotonic() - started > LASTING_SECONDS:
                backoff.reset()
                self._fenced.reset()
            return self._after(decisive, lineage, backoff)

    async def _tell(self, hub: Hub, error: BaseException) -> None:
        """Have the aggregator show why there is no session; who reads status does not read the agent's log."""
        hello = Hello(WIRE_VERSION, VERSION, self._instance, "", trouble=str(error)[:1000])
        try:
            await hub.call("session", hello, Welcome)
        except FleetpediaError as answer:
            log.debug("trouble told", extra={"answer": answer.message})

    def _after(self, error: BaseException, lineage: Lineage, backoff: Backoff) -> float | None:
        pause = backoff.next()
        match error:
            case Closed():
                log.info("closed", extra={"reason": str(error)})
                return None
            case SessionEnd() | SessionLost():
                log.info("session ends", extra={"reason": str(error)})
                if isinstance(error, Rewound):
                    lineage.made = True  # whatever the counter will say: nobody vouches for the past
                    self._sure.types.clear()
                return max(getattr(error, "pause", 0.0), pause)
            case Fenced():
                # Longer each time: two agents on one credential must not take the session from each other in turns.
                self._report_trouble(error, "fenced off, standing by")
                return self._fenced.next()
            case Unauthorized() | Forbidden():
                self._report_trouble(error, "the aggregator refuses this agent")
                return REFUSED_SECONDS
            case FleetpediaError() | KubeError() | AccessError():
                self._report_trouble(error, "no session")
                return max(getattr(error, "retry_after", 0.0) or 0.0, pause)
            case _:
                log.error("the session failed by a defect", exc_info=error)
                self.trouble = f"the session failed by a defect: {error!r}"
                return max(DEFECT_SECONDS, pause)

    def _report_trouble(self, error: BaseException, what: str) -> None:
        text = f"{what}: {error}"
        if text != self.trouble:
            log.warning(what, extra={"reason": str(error)})
        self.trouble = text

    async def _session_of(self, kube: Kube, hub: Hub, lineage: Lineage) -> None:
        facts = FactFinder(kube)
        session = await self._open(kube, hub, lineage, facts)
        self._session, self.trouble = session, ""
        heart: Heart
        if session.welcome.paused:
            if lineage.counter is None:
                self._sure.types.clear()  # without watches nobody sees the member go away and come back as another
            heart = Heart(session, facts, None, None)
            async with asyncio.TaskGroup() as group:
                group.create_task(heart.run())
                group.create_task(Orders(session, None, self._done).run())
            return
        push = Push(hub, session.buffer, session.epoch, session.welcome.max_batch_deltas, self.metrics)
        types = Types(session, lambda: heart.soon())
        heart = Heart(session, facts, push, types)
        self._types = types
        async with asyncio.TaskGroup() as group:
            group.create_task(push.run())
            group.create_task(types.run())
            group.create_task(heart.run())
            group.create_task(Orders(session, types, self._done).run())
            group.create_task(prove(session, types))
            group.create_task(lineage.renew())

    async def _open(self, kube: Kube, hub: Hub, lineage: Lineage, facts: FactFinder) -> Session:
        if lineage.counter is None and time.monotonic() - kube.seen > SIGHT_SECONDS:
            self._sure.types.clear()  # between two sessions nobody else would notice that it was away
        namespace = msgspec.json.decode(await kube.get(KUBE_SYSTEM), type=_Namespace)
        counter = await lineage.begin()
        if lineage.broken:
            self._sure.types.clear()
        hello = Hello(
            WIRE_VERSION,
            VERSION,
            self._instance,
            namespace.metadata.uid,
            counter,
            await facts.begin(),
        )
        welcome = await hub.call("session", hello, Welcome)
        self.metrics.cluster = welcome.cluster
        logs.member.set(welcome.cluster)
        distrust = self._distrust(lineage, welcome)
        log.info(
            "session",
            extra={
                "epoch": welcome.epoch,
                "paused": welcome.paused,
                "policy_generation": welcome.policy_generation,
                "compare": distrust,
            },
        )
        buffer = Buffer(self._settings.buffer_objects, self._settings.buffer_bytes)
        return Session(kube, hub, buffer, lineage, self.metrics, welcome, distrust, self._sure)

    def _distrust(self, lineage: Lineage, welcome: Welcome) -> str:
        """Why stored versions must not be resumed from, empty where they may."""
        if self._store and welcome.store != self._store:
            self._sure.types.clear()
        self._store = welcome.store
        if lineage.counter is None:
            return "no-lease"
        if welcome.lineage is None or lineage.made:
            # `sure` still lets a later session of this process resume what this one has compared.
            return "no-lease-before"
        if welcome.lineage > lineage.counter:
            self._sure.types.clear()
            return "rewound"
        return ""

    def _gauges(self) -> Iterable[Sample]:
        session = self._session
        yield "fleetpedia_agent_epoch", {}, session.epoch if session else 0
        if session is None:
            return
        yield "fleetpedia_agent_buffered", {}, len(session.buffer)
        yield "fleetpedia_agent_buffered_bytes", {}, session.buffer.bytes
        yield "fleetpedia_agent_connections", {}, session.kube.connections
        yield "fleetpedia_agent_member_seen_seconds", {}, time.monotonic() - session.kube.seen
        for reflector in self._types.reflectors if self._types else ():
            yield "fleetpedia_type_lag_seconds", {"type": reflector.type.name}, reflector.status.lag


_DECISIVE: Final = (Closed, Rewound, Fenced, SessionEnd, SessionLost, Unauthorized, Forbidden)
"""Of several errors at once the first of these decides what comes next."""


def _decisive(error: BaseException) -> BaseException:
    errors = list(_leaves(error))
    for kind in _DECISIVE:
        for one in errors:
            if isinstance(one, kind):
                return one
    return errors[0]


def _leaves(error: BaseException) -> Iterable[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error
