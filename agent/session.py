"""What the parts of one session share: with whom it is, under which epoch, and what was agreed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from agent.backoff import Backoff
from agent.buffer import Buffer
from agent.hub import Hub
from agent.kube import Kube
from agent.lineage import Lineage
from agent.metrics import Metrics
from schema.errors import TooManyRequests, Unavailable
from schema.resource import ResourceType
from schema.wire import Fingerprint, Fingerprints, FingerprintsRequest, Welcome

TypeKey = tuple[str, str, str]
M = TypeVar("M", bound=msgspec.Struct)
PATIENCE: Final = 10


def key_of(type: ResourceType) -> TypeKey:
    return type.group, type.version, type.resource


class SessionEnd(Exception):
    """The session is over and another one shall begin; `pause` seconds later."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


class Rewound(SessionEnd):
    """The member was restored from a backup: its Lease tells the aggregator in the next session's hello."""


@dataclass
class Sure:
    """Types that this process has brought in sync itself, so that a later session of it may resume them. Emptied when
    the member or the store is another one than it was."""

    types: set[TypeKey] = field(default_factory=set)


@dataclass
class Session:
    """`distrust`: why types that are not in `sure` must be compared rather than resumed; empty where they may be."""

    kube: Kube
    hub: Hub
    buffer: Buffer
    lineage: Lineage
    metrics: Metrics
    welcome: Welcome
    distrust: str
    sure: Sure

    @property
    def epoch(self) -> int:
        return self.welcome.epoch

    async def ask(self, path: str, message: msgspec.Struct, kind: type[M]) -> M:
        """As `hub.call`; an aggregator that is busy or away is asked again a few times, since whoever asks has listed
        a whole type for this question."""
        backoff = Backoff(0.3, 15.0)
        for _ in range(PATIENCE):
            try:
                return await self.hub.call(path, message, kind)
            except (TooManyRequests, Unavailable) as error:
                await asyncio.sleep(max(error.retry_after or 0.0, backoff.next()))
        return await self.hub.call(path, message, kind)

    async def fingerprints(self, type_id: int, buckets: list[int]) -> dict[tuple[str, str], Fingerprint]:
        """All that the store holds in some buckets."""
        rows: dict[tuple[str, str], Fingerprint] = {}
        rest = buckets
        while rest:
            request = FingerprintsRequest(self.epoch, type_id, rest)
            answer = await self.ask("fingerprints", request, Fingerprints)
            rows |= {(row.namespace, row.name): row for row in answer.rows}
            if len(answer.rest) >= len(rest):
                raise SessionEnd("the aggregator hands out no fingerprints", pause=5)
            rest = answer.rest
        return rows
