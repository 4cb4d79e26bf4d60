"""Clusters and their types in memory: what every question needs before it touches the object table.

Entries are frozen and replaced whole at each refresh, so a reader that took `catalog.types` once sees one state."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any, Final, cast

import msgspec

from aggregator.storage.pool import Database
from schema.errors import Unavailable
from schema.resource import PrinterColumn, ResourceType, TypeState
from schema.wire import Facts

log = logging.getLogger(__name__)
CHANNEL: Final = "fleet_catalog"
_ROWS_PER_SECOND: Final = 5000
"""How many rows of cluster_type a poll may read a second: a large fleet is polled less often, notices still wake us."""

TypeKey = tuple[str, str, str]
"""(group, version, resource)"""


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    id: int
    name: str
    uid: str | None
    labels: Mapping[str, str]
    policy_generation: int
    paused: bool
    removing: bool
    clone: bool
    facts: Facts
    created: datetime
    member_seen: datetime | None
    """When the member's API server last answered its agent; None: never."""
    agent_seen: datetime | None
    message: str

    def age(self, now: datetime) -> timedelta | None:
        """Since the member last answered; None where it never did."""
        return None if self.member_seen is None else max(now - self.member_seen, timedelta())


@dataclass(frozen=True, slots=True)
class ClusterTypeEntry:
    """One type in one cluster."""

    cluster_id: int
    type_id: int
    definition: ResourceType
    shape: str
    resource_version: str
    state: TypeState
    reason: str
    objects: int
    current_at: datetime | None
    listed_at: datetime | None


@dataclass(frozen=True, slots=True)
class TypeEntry:
    """One type over all clusters that serve it. `definition`: that of most clusters (tie: smallest cluster name), with
    the printer columns of all by name; `conflicting` holds the clusters whose kind or scope is another (traps 12)."""

    id: int
    definition: ResourceType
    clusters: Mapping[int, ClusterTypeEntry]
    conflicting: frozenset[int] = field(default_factory=frozenset)

    @property
    def key(self) -> TypeKey:
        return self.definition.group, self.definition.version, self.definition.resource


class Catalog:
    """`stale_after` in seconds. Call `refresh` once before use, then keep `run` running."""

    def __init__(self, database: Database, stale_after: float = 30.0):
        self.stale_after = timedelta(seconds=stale_after)
        self.clusters: Mapping[str, ClusterEntry] = MappingProxyType({})
        self.cluster_by_id: Mapping[int, ClusterEntry] = MappingProxyType({})
        self.types: Mapping[TypeKey, TypeEntry] = MappingProxyType({})
        self.type_by_id: Mapping[int, TypeEntry] = MappingProxyType({})
        self.generation = 0
        """Raised when clusters or types come, go or change what they are (not for counters and times)."""
        self.store = ""
        """Lineage of the database (traps 24)."""
        self._database = database
        self._woken = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._definitions: dict[bytes, ResourceType] = {}
        self._rows = 0
        self._callbacks: list[Callable[[], None]] = []

    def stale(self, now: datetime) -> list[ClusterEntry]:
        """Clusters whose member has not answered for longer than `stale_after` (or never), by name."""
        return [entry for entry in self.clusters.values() if self.is_stale(entry, now)]

    def is_stale(self, entry: ClusterEntry, now: datetime) -> bool:
        age = entry.age(now)
        return age is None or age > self.stale_after

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` after each refresh that raised `generation`; returns what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def refresh(self) -> None:
        """Read everything anew. Raises Unavailable; what was read before then stays in use."""
        # One after the other: an older snapshot must not take the place of a newer one.
        async with self._refreshing:
            await self._refresh()

    async def _refresh(self) -> None:
        async with self._database.readers.transaction(isolation="repeatable_read", readonly=True) as connection:
            self.store = str(await connection.fetchval("select lineage from fleet.store"))
            clusters = await connection.fetch(_CLUSTERS)
            types = await connection.fetch(_TYPES)
        before = self._shape()
        entries = [_cluster(row) for row in clusters]
        self.clusters = MappingProxyType({entry.name: entry for entry in entries})
        self.cluster_by_id = MappingProxyType({entry.id: entry for entry in entries})
        self._set_types([self._type(row) for row in types])
        self._rows = len(types)
        if self._shape() != before:
            self.generation += 1
            for callback in list(self._callbacks):
                callback()

    async def run(self) -> None:
        """Refresh on each notice and about each second, for ever."""
        stop = await self._database.listen(CHANNEL, self._woken.set)
        try:
            while True:
                try:
                    async with asyncio.timeout(max(1.0, self._rows / _ROWS_PER_SECOND)):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                self._woken.clear()
                try:
                    await self.refresh()
                except Unavailable as error:
                    log.warning("the catalog is not refreshed: %s", error)
                await asyncio.sleep(0.05)  # a burst of notices is one refresh
        finally:
            stop()

    def _set_types(self, entries: list[ClusterTypeEntry]) -> None:
        by_type: dict[int, dict[int, ClusterTypeEntry]] = {}
        for entry in entries:
            by_type.setdefault(entry.type_id, {})[entry.cluster_id] = entry
        merged = [self._merged(type_id, clusters) for type_id, clusters in by_type.items()]
        self.types = MappingProxyType({entry.key: entry for entry in merged})
        self.type_by_id = MappingProxyType({entry.id: entry for entry in merged})

    def narrowed(self, entry: TypeEntry, cluster_ids: Collection[int]) -> TypeEntry | None:
        """`entry` as if only these clusters were there; None where none of them has the type."""
        found = {id: member for id, member in entry.clusters.items() if id in cluster_ids}
        return self._merged(entry.id, found) if found else None

    def _merged(self, type_id: int, clusters: dict[int, ClusterTypeEntry]) -> TypeEntry:
        # Where the policy excludes the type, or it is gone, its definition may be empty: it has no vote.
        serving = [entry for entry in clusters.values() if entry.state not in ("Excluded", "Gone")]
        serving = serving or list(clusters.values())
        definitions = [entry.definition for entry in serving]
        if all(definition is definitions[0] for definition in definitions):
            return TypeEntry(type_id, definitions[0], MappingProxyType(clusters))
        votes = Counter(definitions)
        most = max(votes.values())
        by_name = sorted(serving, key=lambda entry: self.cluster_by_id[entry.cluster_id].name)
        winner = next(entry.definition for entry in by_name if votes[entry.definition] == most)
        conflicting = frozenset(
            entry.cluster_id
            for entry in by_name
            if (entry.definition.kind, entry.definition.namespaced) != (winner.kind, winner.namespaced)
        )
        fitting = [entry.definition for entry in by_name if entry.cluster_id not in conflicting]
        definition = msgspec.structs.replace(winner, columns=_union(winner, fitting))
        return TypeEntry(type_id, definition, MappingProxyType(clusters), conflicting)

    def _type(self, row: Any) -> ClusterTypeEntry:
        return ClusterTypeEntry(
            cluster_id=row["cluster_id"],
            type_id=row["type_id"],
            definition=self._definition(row["definition"]),
            shape=row["shape"],
            resource_version=row["resource_version"],
            state=cast("TypeState", row["state"]),
            reason=row["reason"],
            objects=row["objects"],
            current_at=row["current_at"],
            listed_at=row["listed_at"],
        )

    def _definition(self, data: bytes) -> ResourceType:
        """One object for equal definitions: a thousand clusters share sixty of them."""
        known = self._definitions.get(data)
        if known is None:
            if len(self._definitions) >= 20_000:
                self._definitions.clear()
            known = self._definitions[data] = msgspec.json.decode(data, type=ResourceType)
        return known

    def _shape(self) -> tuple[object, ...]:
        clusters = tuple((entry.id, entry.name, entry.removing, entry.paused) for entry in self.clusters.values())
        types = tuple((key, entry.definition, tuple(entry.clusters)) for key, entry in self.types.items())
        return clusters, types


def _union(winner: ResourceType, definitions: Iterable[ResourceType]) -> tuple[PrinterColumn, ...] | None:
    columns = {column.name: column for column in winner.columns or ()}
    for definition in definitions:
        for column in definition.columns or ():
            columns.setdefault(column.name, column)
    return tuple(columns.values()) if columns or winner.columns is not None else None


def _cluster(row: Any) -> ClusterEntry:
    return ClusterEntry(
        id=row["id"],
        name=row["name"],
        uid=row["uid"],
        labels=MappingProxyType(msgspec.json.decode(row["labels"], type=dict[str, str])),
        policy_generation=row["policy_generation"],
        paused=row["paused"],
        removing=row["removing"],
        clone=row["clone"],
        facts=msgspec.json.decode(row["facts"], type=Facts),
        created=row["created"],
        member_seen=row["member_seen"],
        agent_seen=row["agent_seen"],
        message=row["message"],
    )


_CLUSTERS = """
select id, name, coalesce(uid, clone_uid) as uid, labels, policy_generation, paused, removing, clone, facts, created,
       member_seen, agent_seen, message
  from fleet.cluster order by name"""
_TYPES = """
select cluster_id, type_id, definition, shape, resource_version, state, reason, objects, current_at, listed_at
  from fleet.cluster_type order by type_id, cluster_id"""
