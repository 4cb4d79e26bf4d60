"""An agent's side of the wire with nothing behind it: frames made beforehand, sent as fast as they are acked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp
import msgspec
import zstandard

from benchmarks.stack import Stack
from schema import body, wire
from schema.resource import ResourceType
from schema.summary import Summariser, summariser

PODS = ResourceType(
    group="",
    version="v1",
    resource="pods",
    kind="Pod",
    namespaced=True,
    singular="pod",
    short_names=("po",),
    categories=("all",),
    verbs=("get", "list", "watch"),
)
SHAPE = "benchmark"
M = TypeVar("M", bound=msgspec.Struct)


@dataclass
class FrameMaker:
    """Raw pods → Upsert frames, as the agent makes them."""

    type_id: int
    summarise: Summariser = field(default_factory=lambda: summariser("", "pods", "Pod"))
    compressor: zstandard.ZstdCompressor = field(default_factory=lambda: zstandard.ZstdCompressor(level=1))

    def frame(self, raw: bytes) -> wire.Upsert:
        cut = body.cut(raw, "v1", "Pod")
        summary = self.summarise(cut.body)
        meta = cut.metadata
        return wire.Upsert(
            type=self.type_id,
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            resource_version=meta.resourceVersion,
            fingerprint=body.fingerprint(SHAPE, meta.uid, meta.resourceVersion, cut.body),
            bucket=body.bucket(meta.namespace, meta.name),
            created=1_760_000_000,
            owners=[owner.uid for owner in meta.ownerReferences or ()],
            labels=[f"{key}={value}" for key, value in (meta.labels or {}).items()],
            fields=summary.fields,
            status=summary.status,
            cells=msgspec.json.encode(summary.cells),
            layout=list(cut.layout),
            size=len(cut.body),
            lossy=False,
            body=self.compressor.compress(cut.body),
            seen=0.0,
        )


@dataclass
class Member:
    """One cluster's session with the aggregator."""

    http: aiohttp.ClientSession
    base: str
    token: str
    epoch: int = 0
    type_id: int = 0

    async def call(self, name: str, message: msgspec.Struct | bytes, answer: type[M]) -> M:
        data = message if isinstance(message, bytes) else wire.pack(message)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": wire.CONTENT_TYPE}
        async with self.http.post(f"{self.base}/agent/v1/{name}", data=data, headers=headers) as response:
            received = await response.read()
            if response.status != 200:
                raise RuntimeError(f"{name}: {response.status} {received[:500]!r}")
            return wire.unpack(received, answer)

    async def open(self) -> None:
        hello = wire.Hello(wire.WIRE_VERSION, "benchmark", os.urandom(8).hex(), f"uid-{os.urandom(8).hex()}")
        self.epoch = (await self.call("session", hello, wire.Welcome)).epoch
        announce = wire.Announce(self.epoch, [wire.AnnouncedType(PODS, SHAPE)], complete=True)
        self.type_id = (await self.call("types", announce, wire.Announced)).types[0].id

    def batches(self, frames: list[wire.Upsert], size: int = 500) -> Iterator[bytes]:
        """Packed batches in order; the last one carries the mark that ends the list."""
        for start in range(0, len(frames), size):
            last = start + size >= len(frames)
            marks = [wire.Mark(self.type_id, "1", listed=True, shape=SHAPE)] if last else []
            yield wire.pack(wire.Batch(self.epoch, start + 1, list(frames[start : start + size]), marks))

    async def push(self, batches: Iterable[bytes]) -> int:
        """Send one after the other; the highest acked sequence."""
        acked = 0
        for batch in batches:
            ack = await self.call("push", batch, wire.Ack)
            if ack.rejected:
                raise RuntimeError(f"rejected: {ack.rejected[:3]}")
            acked = ack.acked
        return acked


async def add_cluster(http: aiohttp.ClientSession, stack: Stack, name: str) -> Member:
    headers = {"Authorization": f"Bearer {stack.token}"}
    async with http.post(f"{stack.url}/api/v1/clusters", json={"name": name}, headers=headers) as response:
        answer = await response.json()
        if response.status >= 300:
            raise RuntimeError(f"adding {name}: {answer}")
    return Member(http, stack.url, answer["token"])
