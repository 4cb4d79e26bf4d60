"""An aggregator in memory that keeps to `schema.wire`: guard, rows, digests, directives. For tests of the agent."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from schema import errors, wire
from schema.body import unsigned
from schema.policy import Policy
from schema.resource import ResourceType

TOKEN = "cluster-credential"
M = TypeVar("M", bound=msgspec.Struct)
Key = tuple[str, str]


@dataclass
class TypeRows:
    """What is stored of one type."""

    type: ResourceType
    rows: dict[Key, wire.Upsert] = field(default_factory=dict)
    rejected: dict[Key, wire.Reject] = field(default_factory=dict)
    resource_version: str = ""
    shape: str = ""
    state: str = "Pending"
    reason: str = ""
    gone: bool = False

    def prints(self) -> dict[Key, wire.Upsert | wire.Reject]:
        return {**self.rows, **self.rejected}


class AgentHub:
    """`async with AgentHub() as hub:` listens on `hub.url`."""

    def __init__(self) -> None:
        self.types: dict[int, TypeRows] = {}
        self.epoch = 0
        self.acked = 0
        self.lineage: int | None = None
        self.uid = ""
        self.store = "store-1"
        self.policy = Policy()
        self.policy_generation = 1
        self.paused = False
        self.heartbeat_seconds = 0.3
        self.digest_seconds = 3600.0
        self.hellos: list[wire.Hello] = []
        self.troubles: list[str] = []
        self.heartbeats: list[wire.Heartbeat] = []
        self.announces: list[wire.Announce] = []
        self.log: list[tuple[str, str, str, str]] = []
        """(op, type, namespace, name) of each delta that changed something."""
        self.counts: Counter[str] = Counter()
        self.wire_bytes: list[bytes] = []
        self.open_directives: list[wire.Directive] = []
        self.results: dict[int, wire.DirectiveResult] = {}
        self.faults: dict[str, list[Callable[[], web.Response | None]]] = {}
        """By path: each is called once, in order; what it answers instead, None = nothing special."""
        self.refuse: Callable[[list[wire.Delta]], bool] = lambda _: False
        """Batches for which it is true are answered with 400."""
        self.lose_acks = 0
        """So many commits whose answer never arrives."""
        self.gate = asyncio.Event()
        """Cleared: pushes wait."""
        self.gate.set()
        self.url = ""
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> AgentHub:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        app = web.Application(client_max_size=wire.MAX_BATCH_BYTES)
        app.add_routes([web.post("/agent/v1/{path}", self._answer)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self.port}"

    async def stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()

    # -- for tests ------------------------------------------------------------------------------------------------
    async def until(self, condition: Callable[[], Any], timeout: float = 20.0, what: str = "") -> None:
        """Wait until `condition()` is true; fails with what is there."""
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            states = {one.type.name: (one.state, one.reason, len(one.rows)) for one in self.types.values()}
            raise AssertionError(f"not within {timeout} s: {what or condition}; {states}") from None

    def named(self, name: str) -> TypeRows:
        for one in self.types.values():
            if one.type.name == name and not one.gone:
                return one
        raise KeyError(name)

    def rows(self, name: str) -> dict[Key, wire.Upsert]:
        try:
            return self.named(name).rows
        except KeyError:
            return {}

    def in_sync(self) -> bool:
        live = [one for one in self.types.values() if not one.gone]
        return bool(live) and all(one.resource_version and one.state == "Synced" for one in live)

    async def order(self, kind: str, **args: Any) -> wire.DirectiveResult:
        directive = wire.Directive(len(self.results) + len(self.open_directives) + 1, kind, args)
        self.open_directives.append(directive)
        await self._tell()
        await self.until(lambda: directive.id in self.results, 30, f"directive {kind}")
        return self.results[directive.id]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # -- the wire -------------------------------------------------------------------------------------------------
    async def _answer(self, request: web.Request) -> web.Response:
        path = request.match_info["path"]
        self.counts[path] += 1
        try:
            if request.headers.get("Authorization") != f"Bearer {TOKEN}":
                raise errors.Unauthorized("no such credential")
            if self.faults.get(path):
                instead = self.faults[path].pop(0)()
                if instead is not None:
                    return instead
            data = await request.read()
            self.wire_bytes.append(data)
            reply = await _HANDLERS[path](self, data)
            if path == "push" and self.lose_acks:
                self.lose_acks -= 1
                assert request.transport
                request.transport.abort()
            return web.Response(body=wire.pack(reply), content_type=wire.CONTENT_TYPE)
        except errors.FleetpediaError as error:
            body = {"reason": error.reason, "message": error.message, "details": error.details}
            return web.json_response(body, status=error.status)
        finally:
            await self._tell()

    def _guard(self, epoch: int) -> None:
        if epoch != self.epoch:
            raise errors.Fenced(f"epoch {epoch} is over, {self.epoch} runs")

    async def _session(self, data: bytes) -> wire.Welcome:
        hello = wire.unpack(data, wire.Hello)
        if hello.trouble:
            self.troubles.append(hello.trouble)
            raise errors.Unavailable("noted")
        self.hellos.append(hello)
        if self.uid and hello.kube_system_uid != self.uid:
            raise errors.Forbidden("the credential is bound to another cluster")
        self.uid = hello.kube_system_uid
        self.epoch += 1
        self.acked = 0
        before, self.lineage = self.lineage, hello.lineage
        return wire.Welcome(
            wire.WIRE_VERSION,
            "one",
            self.epoch,
            self.store,
            before,
            self.policy,
            self.policy_generation,
            self.paused,
            self.heartbeat_seconds,
            self.digest_seconds,
            500,
        )

    async def _types(self, data: bytes) -> wire.Announced:
        announce = wire.unpack(data, wire.Announce)
        self._guard(announce.epoch)
        self.announces.append(announce)
        stored, seen = [], set()
        for announced in announce.types:
            id = self._id(announced.type)
            seen.add(id)
            held = self.types[id]
            held.type, held.gone = announced.type, False
            objects = len(held.rows) + len(held.rejected)
            stored.append(wire.StoredType(id, held.resource_version, held.shape, objects))
        for held in self.types.values():
            key = (held.type.group, held.type.version, held.type.resource)
            verdict = next((g for g in announce.gone if (g.group, g.version, g.resource) == key), None)
            if verdict:
                held.rows.clear()
                held.gone, held.state, held.reason = True, verdict.state, verdict.reason
                held.resource_version = held.shape = ""
        unknown = [
            (held.type.group, held.type.version, held.type.resource)
            for id, held in self.types.items()
            if id not in seen and not held.gone
        ]
        return wire.Announced(stored, unknown)

    def _id(self, type: ResourceType) -> int:
        key = (type.group, type.version, type.resource)
        for id, held in self.types.items():
            if (held.type.group, held.type.version, held.type.resource) == key:
                return id
        id = len(self.types) + 1
        self.types[id] = TypeRows(type)
        return id

    async def _push(self, data: bytes) -> wire.Ack:
        await self.gate.wait()
        batch = wire.unpack(data, wire.Batch)
        self._guard(batch.epoch)
        last = batch.first + len(batch.deltas) - 1
        if batch.deltas and self.acked >= last:
            return wire.Ack(self.acked)
        if batch.first != self.acked + 1:
            raise errors.Gap(f"expected {self.acked + 1}, got {batch.first}", acked=self.acked)
        if self.refuse(batch.deltas):
            raise errors.BadRequest("the batch is refused")
        deletes = [delta for delta in batch.deltas if isinstance(delta, wire.Delete)]
        others = [delta for delta in batch.deltas if not isinstance(delta, wire.Delete)]
        keys = [(delta.type, delta.namespace, delta.name) for delta in others]
        assert len(keys) == len(set(keys)), "a key comes twice in one batch"
        noops = sum(not self._apply(delta) for delta in [*deletes, *others])
        self.acked = last
        for mark in batch.marks:
            held = self.types[mark.type]
            held.resource_version = mark.resource_version
            if mark.listed:
                held.shape = mark.shape
        return wire.Ack(self.acked, [], noops)

    def _apply(self, delta: wire.Delta) -> bool:
        held, key = self.types[delta.type], (delta.namespace, delta.name)
        name = held.type.name
        if isinstance(delta, wire.Delete):
            row = held.prints().get(key)
            if row is None or row.uid != delta.uid:
                return False
            held.rows.pop(key, None)
            held.rejected.pop(key, None)
            self.log.append(("deleted", name, *key))
            return True
        before = held.rows.get(key)
        self.counts["rows"] += 1
        if isinstance(delta, wire.Reject):
            held.rejected[key] = delta
            held.rows.pop(key, None)
            return True
        self.counts["object_bytes"] += len(delta.body)
        held.rejected.pop(key, None)
        if before is not None and before.fingerprint == delta.fingerprint:
            self.counts["noops"] += 1
            return False
        held.rows[key] = delta
        self.log.append(("modified" if before is not None and before.uid == delta.uid else "added", name, *key))
        return True

    async def _digest(self, data: bytes) -> wire.DigestReply:
        request = wire.unpack(data, wire.DigestRequest)
        self._guard(request.epoch)
        counts, sums = [0] * wire.BUCKETS, [0] * wire.BUCKETS
        for row in self.types[request.type].prints().values():
            counts[row.bucket] += 1
            sums[row.bucket] = unsigned(sums[row.bucket] + row.fingerprint)
        return wire.DigestReply(
            [n for n in range(wire.BUCKETS) if (counts[n], sums[n]) != (request.counts[n], request.sums[n])]
        )

    async def _fingerprints(self, data: bytes) -> wire.Fingerprints:
        request = wire.unpack(data, wire.FingerprintsRequest)
        self._guard(request.epoch)
        rows = self.types[request.type].prints()
        if request.keys:
            chosen = {key: rows[key] for key in request.keys if key in rows}
            return wire.Fingerprints([_fingerprint(row) for row in chosen.values()])
        part, rest = request.buckets[:100], request.buckets[100:]
        return wire.Fingerprints([_fingerprint(row) for row in rows.values() if row.bucket in part], rest)

    async def _heartbeat(self, data: bytes) -> wire.HeartbeatReply:
        beat = wire.unpack(data, wire.Heartbeat)
        self._guard(beat.epoch)
        self.heartbeats.append(beat)
        for report in beat.types:
            self.types[report.type].state, self.types[report.type].reason = report.state, report.reason
        return wire.HeartbeatReply(self.policy_generation, self.paused, self.store)

    async def _directives(self, data: bytes) -> wire.Directives:
        request = wire.unpack(data, wire.DirectivesRequest)
        self._guard(request.epoch)
        for result in request.done:
            self.results[result.id] = result
        await self._tell()
        until = time.monotonic() + min(request.wait, 2.0)
        while not self.open_directives and time.monotonic() < until and request.epoch == self.epoch:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        self._guard(request.epoch)
        out, self.open_directives = self.open_directives, []
        return wire.Directives(out)


def _fingerprint(row: wire.Upsert | wire.Reject) -> wire.Fingerprint:
    return wire.Fingerprint(row.namespace, row.name, row.uid, row.fingerprint, isinstance(row, wire.Reject))


_HANDLERS: dict[str, Callable[[AgentHub, bytes], Any]] = {
    "session": AgentHub._session,
    "types": AgentHub._types,
    "push": AgentHub._push,
    "digest": AgentHub._digest,
    "fingerprints": AgentHub._fingerprints,
    "heartbeat": AgentHub._heartbeat,
    "directives": AgentHub._directives,
}
