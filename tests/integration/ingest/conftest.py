"""An aggregator's ingest on a database of its own, and a small agent that speaks to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from aggregator.ingest.service import Agent, Ingest
from aggregator.metrics import Metrics
from aggregator.storage import clusters
from aggregator.storage.pool import Database
from schema.resource import ResourceType
from schema.wire import Ack, Announce, AnnouncedType, Batch, Delta, Hello, Mark, pack
from tests.integration.ingest.objects import CONFIG_MAPS, POD_TYPE


@dataclass
class Member:
    """One cluster with an open session; `push` numbers deltas by itself."""

    ingest: Ingest
    agent: Agent
    uid: str
    epoch: int = 0
    sent: int = 0
    ids: dict[str, int] = field(default_factory=dict)

    async def open(self, **hello: object) -> None:
        fields = {"wire": 1, "agent_version": "t", "instance": "i", "kube_system_uid": self.uid} | hello
        self.epoch = (await self.ingest.sessions.hello(self.agent, Hello(**fields))).epoch  # type: ignore[arg-type]
        self.sent = 0

    async def announce(self, *types: ResourceType) -> None:
        announced = await self.ingest.sessions.announce(
            self.agent, Announce(self.epoch, [AnnouncedType(type, "shape") for type in types])
        )
        self.ids |= {type.resource: stored.id for type, stored in zip(types, announced.types, strict=True)}

    async def push(self, *deltas: Delta, marks: tuple[Mark, ...] = (), first: int | None = None) -> Ack:
        first = self.sent + 1 if first is None else first
        batch = Batch(self.epoch, first, list(deltas), list(marks))
        ack = await self.ingest.apply.push(self.agent, pack(batch))
        self.sent = ack.acked
        return ack


@pytest.fixture
async def ingest(database: Database) -> Ingest:
    return Ingest(database, Metrics())


async def add_member(ingest: Ingest, name: str, uid: str | None = None, *, clone: bool = False) -> Member:
    async with ingest.database.writers.transaction() as connection:
        id = await clusters.add(connection, name, clone=clone)
    return Member(ingest, Agent(id, name), uid or f"uid-of-{name}")


@pytest.fixture
async def member(ingest: Ingest) -> Member:
    """A cluster `one` with an open session that has announced pods and configmaps."""
    made = await add_member(ingest, "one")
    await made.open()
    await made.announce(POD_TYPE, CONFIG_MAPS)
    return made
