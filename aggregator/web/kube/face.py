"""What one caller sees of the index under one prefix: the whole fleet, or one cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from aggregator.rbac.scope import Scope
from aggregator.search.query import Expression, Glob, Match, Not
from aggregator.storage.catalog import Catalog, ClusterEntry, ClusterTypeEntry, TypeEntry, TypeKey
from schema.errors import NotFound
from schema.resource import ResourceType

ABSENT: Final = frozenset({"Excluded", "Gone"})


@dataclass(frozen=True)
class FaceType:
    """A type as this face serves it. `members`: by cluster id, without those whose kind or scope differs, which are in
    `conflicting` by name."""

    entry: TypeEntry
    definition: ResourceType
    members: Mapping[int, ClusterTypeEntry]
    conflicting: tuple[str, ...] = ()


@dataclass(frozen=True)
class Face:
    """`cluster`: None for the whole fleet."""

    catalog: Catalog
    scope: Scope
    cluster: ClusterEntry | None = None

    @classmethod
    def of(cls, catalog: Catalog, scope: Scope, cluster: str | None) -> Face:
        """Raises NotFound for a cluster that is not there or that the scope hides."""
        if cluster is None:
            return cls(catalog, scope)
        entry = catalog.clusters.get(cluster)
        if entry is None or not scope.allows_cluster(cluster):
            raise NotFound(f'clusters "{cluster}" not found', details={"name": cluster, "kind": "clusters"})
        return cls(catalog, scope, entry)

    def clusters(self) -> list[ClusterEntry]:
        if self.cluster is not None:
            return [self.cluster]
        return [entry for entry in self.catalog.clusters.values() if self.scope.allows_cluster(entry.name)]

    def where(self, type: FaceType) -> Iterator[Expression]:
        """The conditions that the face itself puts on a question about `type`."""
        if self.cluster is not None:
            yield Match("cluster", (Glob.literal(self.cluster.name),))
        elif type.conflicting:
            yield Not(Match("cluster", tuple(map(Glob.literal, type.conflicting))))

    def types(self) -> list[FaceType]:
        """All that are served, by name."""
        found = [self._served(entry) for entry in self.catalog.types.values()]
        return sorted((type for type in found if type is not None), key=lambda type: type.definition.resource)

    def versions(self, group: str, resource: str) -> list[FaceType]:
        """The type in each version that some cluster is stored in."""
        entries = [e for key, e in self.catalog.types.items() if (key[0], key[2]) == (group, resource)]
        return [type for type in map(self._served, entries) if type is not None]

    def type(self, key: TypeKey) -> FaceType:
        """Raises NotFound; for a type that the sync policy leaves out the message names the policy line."""
        entry = self.catalog.types.get(key)
        served = self._served(entry) if entry else None
        if served is None:
            raise NotFound(self._why_not(key, entry), details={"group": key[0], "kind": key[2]})
        return served

    def _served(self, entry: TypeEntry) -> FaceType | None:
        if self.scope.clusters and self.cluster is None:
            # Columns, and which kind is the common one, must not come from clusters that the scope hides.
            narrowed = self.catalog.narrowed(entry, {cluster.id for cluster in self.clusters()})
            if narrowed is None:
                return None
            entry = narrowed
        if not self.scope.allows_type(entry.definition):
            return None
        if self.cluster is not None:
            own = entry.clusters.get(self.cluster.id)
            if own is None or own.state in ABSENT:
                return None
            return FaceType(entry, own.definition, {own.cluster_id: own})
        members, conflicting = {}, []
        for cluster in self.clusters():
            member = entry.clusters.get(cluster.id)
            if member is None or member.state in ABSENT:
                continue
            if cluster.id in entry.conflicting:
                conflicting.append(cluster.name)
            else:
                members[cluster.id] = member
        return FaceType(entry, entry.definition, members, tuple(conflicting)) if members else None

    def _why_not(self, key: TypeKey, entry: TypeEntry | None) -> str:
        name = f"{key[2]}.{key[0]}" if key[0] else key[2]
        if entry is not None and self.scope.allows_type(entry.definition):
            for cluster in self.clusters():
                member = entry.clusters.get(cluster.id)
                if member is not None and member.state == "Excluded":
                    return f"{name} is not in the index: {member.reason or 'the sync policy excludes it'}"
        others = sorted(type.definition.version for type in self.versions(key[0], key[2]))
        hint = f"; it is served in version {', '.join(others)}" if others else ""
        where = f"cluster {self.cluster.name}" if self.cluster else "the fleet"
        return (
            f"the server could not find the requested resource: {name} in {key[1]} is not in the index of {where}{hint}"
        )
