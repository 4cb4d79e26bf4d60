"""Comparisons: the agent tells what the member has in digests, the store answers where it differs."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager

from aggregator.ingest.apply import Agent
from aggregator.ingest.gate import Gate
from aggregator.ingest.session import IngestSettings
from aggregator.metrics import Metrics
from aggregator.storage import digests, sessions
from aggregator.storage.batch import Connection
from aggregator.storage.catalog import Catalog
from aggregator.storage.pool import Database
from schema.errors import BadRequest
from schema.wire import BUCKETS, DigestReply, DigestRequest, Fingerprints, FingerprintsRequest

log = logging.getLogger(__name__)
MAX_KEYS = 20_000


class Reconcile:
    def __init__(self, database: Database, metrics: Metrics, settings: IngestSettings, catalog: Catalog | None = None):
        self._database = database
        self._metrics = metrics
        self._catalog = catalog
        self._gate = Gate("comparisons", slots=settings.comparisons_at_once, waiting=256, retry_after=5.0)

    async def digest(self, agent: Agent, request: DigestRequest) -> DigestReply:
        """Buckets that differ. Raises Fenced, BadRequest, TooManyRequests."""
        if len(request.counts) != BUCKETS or len(request.sums) != BUCKETS:
            raise BadRequest(f"a digest has {BUCKETS} counts and sums")
        async with self._gate.enter(), self._snapshot() as connection:
            await sessions.check(connection, agent.cluster_id, request.epoch)
            counts, sums = await digests.digest(connection, agent.cluster_id, request.type)
        differing = [
            bucket
            for bucket in range(BUCKETS)
            if (counts[bucket], sums[bucket]) != (request.counts[bucket], request.sums[bucket] % (1 << 64))
        ]
        if differing:
            self._differs(agent, request.type, differing)
        return DigestReply(differing)

    async def fingerprints(self, agent: Agent, request: FingerprintsRequest) -> Fingerprints:
        """What the store holds in whole buckets, or of some keys. Raises Fenced, BadRequest, TooManyRequests."""
        if any(not 0 <= bucket < BUCKETS for bucket in request.buckets) or len(request.buckets) > BUCKETS:
            raise BadRequest(f"buckets are numbers within 0…{BUCKETS - 1}")
        if len(request.keys) > MAX_KEYS or (request.keys and request.buckets):
            raise BadRequest(f"ask for buckets or for at most {MAX_KEYS} keys, not for both")
        async with self._gate.enter(), self._snapshot() as connection:
            await sessions.check(connection, agent.cluster_id, request.epoch)
            if request.keys:
                return Fingerprints(await digests.of_keys(connection, agent.cluster_id, request.type, request.keys))
            return Fingerprints(
                *await digests.of_buckets(connection, agent.cluster_id, request.type, sorted(set(request.buckets)))
            )

    def _snapshot(self) -> AbstractAsyncContextManager[Connection]:
        return self._database.readers.transaction(isolation="repeatable_read", readonly=True)

    def _differs(self, agent: Agent, type_id: int, buckets: list[int]) -> None:
        entry = self._catalog.type_by_id.get(type_id) if self._catalog else None
        name = entry.definition.name if entry else str(type_id)
        shown = ", ".join(map(str, buckets[:8])) + (" …" if len(buckets) > 8 else "")
        log.info("cluster %s: %s differs in %d buckets (%s)", agent.cluster, name, len(buckets), shown)
        self._metrics.digest_mismatches.labels(agent.cluster, name).inc()
        self._metrics.resyncs.labels(agent.cluster, "digest").inc()
