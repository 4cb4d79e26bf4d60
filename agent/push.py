"""From the buffer to the aggregator: one batch in flight, the next one gathers meanwhile. An ack means committed."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from agent.backoff import Backoff
from agent.buffer import Buffer
from agent.hub import Hub
from agent.metrics import Metrics
from schema.errors import BadRequest, Fenced, FleetpediaError, Gap, NotFound, TooLarge
from schema.wire import Ack, Batch, Delta, Mark, Reject, Upsert

log = logging.getLogger(__name__)
MAX_BATCH_BYTES: Final = 4 * 1024 * 1024
GAP_TRIES: Final = 3


class SessionLost(Exception):
    """What is committed cannot be followed on; only a new session finds out from where to go on."""


class Push:
    """`failing`: why the last request failed, empty where it did not; for the heartbeat and people."""

    def __init__(self, hub: Hub, buffer: Buffer, epoch: int, max_deltas: int, metrics: Metrics) -> None:
        self._hub, self._buffer, self._epoch = hub, buffer, epoch
        self._max_deltas = max(1, max_deltas)
        self._metrics = metrics
        self.acked = 0
        self.failing = ""

    async def run(self) -> None:
        """Raises Fenced or SessionLost when the session is over."""
        while True:
            deltas, marks = await self._buffer.take(self._max_deltas, MAX_BATCH_BYTES)
            if deltas or marks:
                slow_down = await self._deliver(deltas, marks)
                await self._buffer.committed(deltas)
                if slow_down > 0:
                    await asyncio.sleep(min(slow_down, 60.0))

    async def _deliver(self, deltas: list[Delta], marks: list[Mark]) -> float:
        try:
            ack = await self._commit(Batch(self._epoch, self.acked + 1, deltas, marks))
        except (BadRequest, TooLarge) as error:
            return await self._deliver_apart(deltas, marks, error)
        self.acked += len(deltas)
        self._count(deltas, ack)
        return ack.slow_down

    async def _deliver_apart(self, deltas: list[Delta], marks: list[Mark], error: FleetpediaError) -> float:
        """The aggregator cannot take the batch: halve it until the delta at fault is alone, and set that one aside."""
        if len(deltas) > 1:
            half = len(deltas) // 2
            await self._deliver(deltas[:half], [])
            return await self._deliver(deltas[half:], marks)
        if deltas and isinstance(deltas[0], Upsert):
            bad = deltas[0]
            reason = f"the aggregator refused it: {error.message}"
            log.error("object refused", extra={"type_id": bad.type, "reason": error.message})
            aside = Reject(
                bad.type, bad.namespace, bad.name, bad.uid, bad.fingerprint, bad.bucket, reason[:500], bad.seen
            )
            return await self._deliver([aside], marks)
        raise SessionLost(f"the aggregator refuses a batch that cannot be split: {error.message}") from error

    async def _commit(self, batch: Batch) -> Ack:
        """Send the same batch until it is acked. There is no last try: what is read is kept until it is committed."""
        backoff, gaps = Backoff(0.1, 15.0), 0
        while True:
            try:
                ack = await self._hub.call("push", batch, Ack)
                last = batch.first + len(batch.deltas) - 1
                if ack.acked < last:
                    raise SessionLost(f"the aggregator acked {ack.acked} for a batch that ends at {last}")
                self._recovered()
                return ack
            except Gap as gap:
                gaps += 1
                if gap.acked != batch.first - 1 or gaps >= GAP_TRIES:
                    raise SessionLost(f"committed up to {gap.acked}, this batch begins at {batch.first}") from gap
                await asyncio.sleep(backoff.next())
            except (Fenced, BadRequest, TooLarge, NotFound):
                raise
            except FleetpediaError as error:
                self._failed(error)
                await asyncio.sleep(max(error.retry_after or 0.0, backoff.next()))

    def _failed(self, error: FleetpediaError) -> None:
        if not self.failing:
            log.warning("push fails, trying on", extra={"reason": error.message})
        self.failing = error.message
        self._metrics.count("fleetpedia_agent_push_failures_total", reason=error.reason)

    def _recovered(self) -> None:
        if self.failing:
            log.info("push works again")
        self.failing = ""

    def _count(self, deltas: list[Delta], ack: Ack) -> None:
        self._metrics.count("fleetpedia_agent_batches_total")
        self._metrics.count("fleetpedia_agent_deltas_total", len(deltas))
        self._metrics.count("fleetpedia_agent_noops_total", ack.noops)
        sent = sum(len(delta.body) for delta in deltas if isinstance(delta, Upsert))
        self._metrics.count("fleetpedia_agent_object_bytes_sent_total", sent)
        if ack.rejected:
            reasons = sorted({rejected.reason for rejected in ack.rejected})
            log.warning("objects set aside", extra={"objects": len(ack.rejected), "reasons": reasons[:5]})
            self._metrics.count("fleetpedia_rejected_objects_total", len(ack.rejected), reason="aggregator")
