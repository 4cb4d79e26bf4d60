"""A batch of deltas, committed. One call of the database per batch; see schema/migrations/0002_apply.sql."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import NamedTuple

from aggregator.ingest.gate import Gate, OnePer
from aggregator.ingest.prepare import Prepared, Refused, chunks, keep_types, prepare, refuse
from aggregator.metrics import Metrics
from aggregator.storage import batch as storage
from aggregator.storage.batch import Applied, BadDataError, Rows
from aggregator.storage.pool import Database
from schema.errors import BadRequest, Fenced, Gap
from schema.wire import Ack, Batch, Delta, Reject, Rejected, Upsert, unpack

log = logging.getLogger(__name__)
MAX_DELTAS = 5000


class Agent(NamedTuple):
    """Who speaks: the cluster of the credential. Never made from anything in a body."""

    cluster_id: int
    cluster: str


class Apply:
    """`writers`: how many batches are worked on at once; more wait their turn."""

    def __init__(self, database: Database, metrics: Metrics, writers: int = 2):
        self._database = database
        self._metrics = metrics
        # One batch more than there are connections, so that Python prepares while Postgres works.
        self._gate = Gate("batches", slots=writers + 1, waiting=256, retry_after=2.0)
        self._one = OnePer("batch")
        self._growth = Growth()

    async def push(self, agent: Agent, data: bytes) -> Ack:
        """Commit the packed Batch in `data`; the answer names what was set aside.

        Raises Gap when it does not follow on what is committed, Fenced when a newer session has begun, BadRequest
        when it is no batch, TooManyRequests, Unavailable (whether it was committed is then unknown: send it again)."""
        with self._one.enter(agent.cluster_id):
            waiting = self._gate.waiting
            async with self._gate.enter():
                # Inflated in here, so that what batches take in memory is bounded by the gate's slots.
                batch = unpack(data, Batch)
                if batch.first < 1 or len(batch.deltas) > MAX_DELTAS:
                    raise BadRequest(f"a batch has 1 ≤ first and at most {MAX_DELTAS} deltas")
                ack = await self._push(agent, batch)
        ack.slow_down = min(1.0, waiting * 0.01)
        return ack

    async def _push(self, agent: Agent, batch: Batch) -> Ack:
        ack = Ack(batch.first - 1)
        runs = list(chunks(batch.first, batch.deltas))
        for number, (first, deltas) in enumerate(runs, 1):
            prepared = prepare(first, deltas)
            if number == len(runs):
                prepared.rows.marks.extend((m.type, m.resource_version, m.listed, m.shape) for m in batch.marks)
            applied = await self._commit(agent, batch.epoch, first, first + len(deltas) - 1, prepared)
            self._check(agent, batch, applied)
            ack.acked = applied.acked
            if applied.outcome == "applied":
                ack.noops += applied.noops + prepared.superseded
                ack.rejected += [Rejected(seq, why.reason) for seq, why in sorted(prepared.refused.items())]
                self._count(agent, deltas, prepared, applied)
        return ack

    async def _commit(self, agent: Agent, epoch: int, first: int, last: int, prepared: Prepared) -> Applied:
        async with self._database.writers.acquire() as connection:
            while True:
                try:
                    applied = await storage.apply(connection, agent.cluster_id, epoch, first, last, prepared.rows)
                except BadDataError as error:
                    await self._set_aside(agent, epoch, first, prepared, error, connection)
                    continue
                if applied.outcome != "unknown-type":
                    break
                keep_types(prepared, await storage.live_types(connection, agent.cluster_id))
            if self._growth.due(applied.added):
                await storage.analyze(connection)
        return applied

    async def _set_aside(
        self,
        agent: Agent,
        epoch: int,
        first: int,
        prepared: Prepared,
        error: BadDataError,
        connection: storage.Connection,
    ) -> None:
        """Find the rows that Postgres refuses by halving, and turn them into rejected rows."""
        culprits = await _culprits(connection, agent.cluster_id, epoch, first, prepared.rows, 0)
        if not culprits:
            # Not an object: deletes, rejected rows or marks. Nothing of those can be set aside one by one.
            raise BadRequest(f"the database refuses the batch: {error}") from error
        for position, reason in sorted(culprits.items(), reverse=True):
            upsert = prepared.upserts[position]
            log.warning(
                "cluster %s: %s/%s of type %d is set aside: %s",
                agent.cluster, upsert.namespace, upsert.name, upsert.type, reason,
            )  # fmt: skip
            refuse(prepared, position, Refused("database", f"the database refuses it: {reason}"))

    def _check(self, agent: Agent, batch: Batch, applied: Applied) -> None:
        self._metrics.batches.labels(applied.outcome).inc()
        if applied.outcome == "fenced":
            raise Fenced(f"session {batch.epoch} of cluster {agent.cluster} has ended; open a new one")
        if applied.outcome == "gap":
            self._metrics.resyncs.labels(agent.cluster, "gap").inc()
            raise Gap(
                f"the batch begins with {batch.first}, but {applied.acked} is the last that is committed",
                acked=applied.acked,
            )

    def _count(self, agent: Agent, deltas: list[Delta], prepared: Prepared, applied: Applied) -> None:
        now = time.time()
        observe = self._metrics.freshness.observe
        for delta in deltas:
            observe(now - delta.seen if now > delta.seen else 0.0)
        received = sum(len(delta.body) for delta in deltas if type(delta) is Upsert)
        self._metrics.object_bytes.labels(agent.cluster).inc(received)
        self._metrics.rows_written.labels(agent.cluster).inc(applied.added + applied.modified + applied.deleted)
        self._metrics.noops.labels(agent.cluster).inc(applied.noops + prepared.superseded)
        categories = Counter(why.category for why in prepared.refused.values())
        categories["agent"] += sum(type(delta) is Reject for delta in deltas)
        for category, count in categories.items():
            if count:
                self._metrics.rejected.labels(agent.cluster, category).inc(count)


async def _culprits(
    connection: storage.Connection, cluster_id: int, epoch: int, first: int, rows: Rows, offset: int
) -> dict[int, str]:
    """Position → reason of the upserts that Postgres refuses, by halving: few calls where few are bad."""
    reason = await storage.refusal(connection, cluster_id, epoch, first, Rows(upserts=rows.upserts))
    if reason is None:
        return {}
    if len(rows.upserts) == 1:
        return {offset: reason}
    half = len(rows.upserts) // 2
    found = await _culprits(connection, cluster_id, epoch, first, Rows(upserts=rows.upserts[:half]), offset)
    rest = Rows(upserts=rows.upserts[half:])
    return found | await _culprits(connection, cluster_id, epoch, first, rest, offset + half)


class Growth:
    """When to look at the object table's statistics anew: each time it has grown to four times as much."""

    def __init__(self) -> None:
        self._added = 0
        self._next = 500

    def due(self, added: int) -> bool:
        self._added += added
        if self._added < self._next:
            return False
        self._next = self._added * 4
        return True
