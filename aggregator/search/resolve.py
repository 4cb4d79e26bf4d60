"""Names of clusters and kinds in a question → ids, as far as the scope lets them be seen.

What the scope hides is refused in the same words as what does not exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from aggregator.rbac.scope import Scope
from aggregator.search.query import ClusterLabel, Glob
from aggregator.storage.catalog import Catalog, ClusterEntry, TypeEntry
from schema.errors import BadRequest


class Names:
    """Clusters and types that a scope allows, at one moment."""

    def __init__(self, catalog: Catalog, scope: Scope) -> None:
        self._clusters = [entry for entry in catalog.clusters.values() if scope.allows_cluster(entry.name)]
        self.limited_clusters = frozenset(e.id for e in self._clusters) if scope.clusters else None
        self._types = [entry for entry in catalog.types.values() if self._is_visible(entry, scope)]
        self.limited_types = frozenset(e.id for e in self._types) if scope.kinds else None

    def _is_visible(self, entry: TypeEntry, scope: Scope) -> bool:
        """A type that only hidden clusters have is hidden as they are."""
        limited = self.limited_clusters
        return scope.allows_type(entry.definition) and (limited is None or not limited.isdisjoint(entry.clusters))

    def clusters(self, globs: Iterable[Glob]) -> frozenset[int]:
        """Raises BadRequest for a literal name that is not there."""
        found: set[int] = set()
        for glob in globs:
            ids = {entry.id for entry in self._clusters if glob.matches(entry.name)}
            if not ids and glob.is_literal:
                raise BadRequest(
                    f"unknown cluster {glob.text!r}{_nearest(glob.text, (e.name for e in self._clusters))}"
                )
            found |= ids
        return frozenset(found)

    def labelled(self, wanted: ClusterLabel) -> frozenset[int]:
        return frozenset(entry.id for entry in self._clusters if _has_label(entry, wanted))

    def types(self, globs: Iterable[Glob]) -> frozenset[int]:
        """By any name that kubectl takes, in any case. Raises BadRequest for a literal that is not there."""
        found: set[int] = set()
        for glob in globs:
            lower = Glob(tuple(piece.lower() for piece in glob.pieces))
            ids = {entry.id for entry in self._types if any(lower.matches(name) for name in type_names(entry))}
            if not ids and glob.is_literal:
                names = {name for entry in self._types for name in type_names(entry)}
                raise BadRequest(f"unknown kind {glob.text!r}{_nearest(lower.text, names)}")
            found |= ids
        return frozenset(found)

    def type(self, type_id: int) -> TypeEntry | None:
        return next((entry for entry in self._types if entry.id == type_id), None)

    def all_types(self) -> list[TypeEntry]:
        return self._types


def type_names(entry: TypeEntry) -> Collection[str]:
    """All names of a type, lower case: plural, with group, singular, kind, short names."""
    type = entry.definition
    names = {type.resource, type.name, type.kind.lower(), type.singular, *type.short_names} - {""}
    return names | {f"{name}.{type.group}" for name in names if type.group}


def _has_label(entry: ClusterEntry, wanted: ClusterLabel) -> bool:
    value = entry.labels.get(wanted.key)
    return value is not None and (not wanted.globs or any(glob.matches(value) for glob in wanted.globs))


def _nearest(text: str, names: Iterable[str]) -> str:
    near = get_close_matches(text, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
