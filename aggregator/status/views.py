"""How a cluster is shown: the shapes of `/api/v1/clusters`."""

from __future__ import annotations

from typing import Literal

import msgspec

Phase = Literal["Pending", "Syncing", "Ready", "Degraded", "Stale", "Paused", "Removing"]


class Allocatable(msgspec.Struct, rename="camel"):
    """Summed over the nodes."""

    cpu_millicores: int
    memory_bytes: int


class Condition(msgspec.Struct, rename="camel"):
    type: str
    status: Literal["True", "False"]
    reason: str
    message: str


class TypeView(msgspec.Struct, rename="camel"):
    """One type in one cluster. `lagSeconds`: since the agent last knew it to be current; null = never. Numbers are null
    for whom namespaces are hidden: they would tell of those."""

    type: str
    group: str
    version: str
    kind: str
    namespaced: bool
    state: str
    count: int | None
    rejected: int | None
    lag_seconds: float | None
    reason: str


class RejectedView(msgspec.Struct, rename="camel"):
    """An object that could not be stored, and why."""

    type: str
    namespace: str
    name: str
    uid: str
    reason: str
    at: str


class ClusterView(msgspec.Struct, rename="camel"):
    """`lastSeen`: when the member's API server last answered its agent; null = never. Numbers that
    would tell of what the scope hides are null."""

    name: str
    uid: str | None
    phase: Phase
    labels: dict[str, str]
    version: str
    platform: str
    api_server: str
    nodes: int | None
    nodes_ready: int | None
    pods: int | None
    allocatable: Allocatable | None
    created: str
    last_seen: str | None
    age_seconds: float | None
    stale: bool
    message: str
    objects: int | None
    rejected_objects: int | None
    policy_generation: int
    conditions: list[Condition]
    types: list[TypeView]
    rejected: list[RejectedView] = []
    """The newest of those set aside; only of a single cluster and for whom nothing is hidden."""
