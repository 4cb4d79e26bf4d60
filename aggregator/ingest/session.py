"""Sessions of agents: hello, types, heartbeat. One function per message of schema.wire."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from aggregator.ingest.apply import Agent
from aggregator.ingest.gate import Gate
from aggregator.metrics import Metrics
from aggregator.storage import sessions
from aggregator.storage import types as storage
from aggregator.storage.pool import Database
from schema.errors import BadRequest, Unavailable, Unprocessable
from schema.wire import WIRE_VERSION, Announce, Announced, Heartbeat, HeartbeatReply, Hello, Welcome

log = logging.getLogger(__name__)
MAX_TYPES = 5000


@dataclass(frozen=True)
class IngestSettings:
    heartbeat_seconds: float = 10.0
    """How often an agent says that its member lives; a third of --stale-after or less."""
    digest_seconds: float = 3600.0
    """How often an agent lists anew and compares."""
    max_batch_deltas: int = 500
    """Beyond 500, a batch only adds latency (performance.md §2)."""
    writers: int = 3
    """Batches in the database at once: one more than two cores, since a batch also waits for the disk (an eighth more
    rows a second than with two)."""
    sessions_at_once: int = 16
    """Sessions being opened and types being announced; a thousand agents that come back stand in line."""
    comparisons_at_once: int = 2
    """Digests read all rows of a type: more at a time would take the database from the batches."""
    waiting_agents: int = 4096
    """Long polls for directives."""


class Sessions:
    """`sweep` is called when a type is to be swept."""

    def __init__(self, database: Database, metrics: Metrics, settings: IngestSettings, sweep: Callable[[], None]):
        self._database = database
        self._metrics = metrics
        self._settings = settings
        self._sweep = sweep
        self._gate = Gate("new sessions", slots=settings.sessions_at_once, waiting=64, retry_after=5.0)

    async def hello(self, agent: Agent, hello: Hello) -> Welcome:
        """Begin a session; whoever had one is fenced off.

        Raises Unprocessable (another wire version), Conflict (another member), Forbidden (being removed), Unavailable
        (no session was asked for, only trouble told)."""
        if abs(hello.wire - WIRE_VERSION) > 1:
            raise Unprocessable(
                f"the agent speaks wire version {hello.wire}, this aggregator {WIRE_VERSION - 1} to "
                f"{WIRE_VERSION + 1}; use an agent and an aggregator of neighbouring versions"
            )
        if hello.trouble:
            async with self._gate.enter():
                await sessions.note(self._database, agent.cluster_id, hello.trouble[:1000].replace("\x00", "\ufffd"))
            raise Unavailable("noted; a session begins when the member answers")
        if not hello.kube_system_uid:
            raise BadRequest(
                "kube_system_uid is empty: the agent must read the uid of the member's namespace kube-system"
            )
        async with self._gate.enter():
            opened = await sessions.open_session(self._database, agent.cluster_id, hello)
        if opened.rewound:
            log.warning(
                "cluster %s was rewound (lineage %s, stored %s): comparing all",
                agent.cluster,
                hello.lineage,
                opened.lineage,
            )
            self._metrics.resyncs.labels(agent.cluster, "rewound").inc()
        log.info("cluster %s: session %d of agent %s", agent.cluster, opened.epoch, hello.agent_version)
        return Welcome(
            wire=WIRE_VERSION,
            cluster=agent.cluster,
            epoch=opened.epoch,
            store=opened.store,
            lineage=opened.lineage,
            policy=opened.policy,
            policy_generation=opened.policy_generation,
            paused=opened.paused,
            heartbeat_seconds=self._settings.heartbeat_seconds,
            digest_seconds=self._settings.digest_seconds,
            max_batch_deltas=self._settings.max_batch_deltas,
        )

    async def announce(self, agent: Agent, announce: Announce) -> Announced:
        """Give types their ids and say what is stored of them; mark what is gone for the sweep. Raises Fenced."""
        _check_types(announce)
        known = [(a.type.group, a.type.version, a.type.resource) for a in announce.types]
        gone = [(type.group, type.version, type.resource) for type in announce.gone]
        async with self._gate.enter(), self._database.writers.transaction() as connection:
            await sessions.lock(connection, agent.cluster_id, announce.epoch)
            await storage.set_gone(connection, agent.cluster_id, announce.gone)
            stored = await storage.announce(connection, agent.cluster_id, [a.type for a in announce.types])
            unknown = await storage.unknown(connection, agent.cluster_id, known + gone)
            await connection.execute("select pg_notify('fleet_catalog', '')")
        if gone:
            log.info("cluster %s: %d types are gone or excluded", agent.cluster, len(gone))
            self._sweep()
        return Announced(stored, unknown)

    async def heartbeat(self, agent: Agent, heartbeat: Heartbeat) -> HeartbeatReply:
        """Record that agent and member live, and how its types fare. Raises Fenced."""
        if len(heartbeat.types) > MAX_TYPES:
            raise BadRequest(f"a heartbeat reports at most {MAX_TYPES} types")
        beat = sessions.Heartbeat(
            heartbeat.member_seen,
            heartbeat.facts,
            heartbeat.message[:1000].replace("\x00", "\ufffd"),
            heartbeat.buffered,
            heartbeat.buffered_bytes,
            heartbeat.lineage,
        )
        async with self._database.writers.transaction() as connection:
            standing = await sessions.beat(connection, agent.cluster_id, heartbeat.epoch, beat)
            if heartbeat.types:
                await storage.report(connection, agent.cluster_id, heartbeat.types)
        return HeartbeatReply(standing.policy_generation, standing.paused, standing.store)


def _check_types(announce: Announce) -> None:
    if len(announce.types) + len(announce.gone) > MAX_TYPES:
        raise BadRequest(f"an announcement has at most {MAX_TYPES} types")
    keys = [(a.type.group, a.type.version, a.type.resource) for a in announce.types]
    if len(set(keys)) < len(keys):
        raise BadRequest("an announcement names a type twice")
    for type in announce.gone:
        if type.state not in ("Gone", "Excluded"):
            raise BadRequest(f"{type.resource} cannot be in `gone` with the state {type.state}")
