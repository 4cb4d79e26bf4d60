"""A question asked of a state in memory: what a watch needs, where a list asks SQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from aggregator.rbac.scope import Scope
from aggregator.search.compile import supported_fields
from aggregator.search.query import (
    All,
    AnyOf,
    ClusterLabel,
    Expression,
    Field,
    Glob,
    Label,
    Match,
    Not,
    Query,
    Word,
    leaves,
)
from aggregator.search.resolve import Names
from aggregator.storage.catalog import Catalog
from schema.errors import BadRequest


class State(NamedTuple):
    """What a change says of an object at one time. `labels` and `fields` as in the tables."""

    cluster_id: int
    type_id: int
    namespace: str
    name: str
    uid: str
    labels: Collection[str]
    fields: Collection[str]


class Matcher:
    """The scope and the question. Clusters and kinds are resolved when it is made: make it anew when the catalog
    changes."""

    def __init__(self, query: Query, scope: Scope, catalog: Catalog) -> None:
        """Raises BadRequest for what only a list can select by, and for unknown clusters and kinds."""
        self._names = Names(catalog, scope)
        self._where = query.where
        self._scope = scope
        entry = catalog.types.get(query.type) if query.type else None
        self._types = frozenset({entry.id} if entry else ()) if query.type else self._names.limited_types
        self._namespace_ids = frozenset(
            entry.id
            for entry in self._names.all_types()
            if (entry.definition.group, entry.definition.resource) == ("", "namespaces")
        )
        self._ids: dict[Match | ClusterLabel, frozenset[int]] = {}
        supported = supported_fields(entry) if entry else frozenset()
        for leaf, _ in leaves(query.where):
            self._prepare(leaf, supported)

    def _prepare(self, leaf: Expression, supported: frozenset[str]) -> None:
        match leaf:
            case Match("cluster", globs):
                self._ids[leaf] = self._names.clusters(globs)
            case Match("kind", globs):
                self._ids[leaf] = self._names.types(globs)
            case ClusterLabel():
                self._ids[leaf] = self._names.labelled(leaf)
            case Match("status"):
                raise BadRequest("a watch cannot select by status; list again instead")
            case Field() if leaf.path != ("metadata", "uid") and (leaf.dotted not in supported or not leaf.globs):
                known = ", ".join(sorted({"metadata.name", "metadata.namespace", "metadata.cluster", *supported}))
                raise BadRequest(
                    f"a watch cannot select by field {leaf.dotted!r}, a list can; a watch of this type knows {known}"
                )

    def allows(self, state: State) -> bool:
        """Whether the scope and the type let the object be seen at all."""
        if self._types is not None and state.type_id not in self._types:
            return False
        limited = self._names.limited_clusters
        if limited is not None and state.cluster_id not in limited:
            return False
        if not self._scope.namespaces:
            return True
        if state.namespace:
            return self._scope.allows_namespace(state.namespace)
        return state.type_id in self._namespace_ids and self._scope.allows_namespace(state.name)

    def saw_cluster(self, name: str) -> bool:
        """Whether an object of the cluster could have been in the answer. By name, since one that is removed is in no
        catalog any more."""
        items = self._where.items if isinstance(self._where, All) else (self._where,)
        named = [item.globs for item in items if isinstance(item, Match) and item.column == "cluster"]
        return self._scope.allows_cluster(name) and all(any(glob.matches(name) for glob in globs) for globs in named)

    def matches(self, state: State) -> bool:
        return self.allows(state) and self._holds(self._where, state)

    def _holds(self, item: Expression, state: State) -> bool:
        match item:
            case All(items):
                return all(self._holds(one, state) for one in items)
            case AnyOf(items):
                return any(self._holds(one, state) for one in items)
            case Not(inner):
                return not self._holds(inner, state)
            case Match("kind"):
                return state.type_id in self._ids[item]
            case Match("cluster") | ClusterLabel():
                return state.cluster_id in self._ids[item]
            case Match("name" | "namespace" | "uid" as column, globs):
                value = {"name": state.name, "namespace": state.namespace, "uid": state.uid}[column]
                return any(glob.matches(value) for glob in globs)
            case Match():
                return False
            case Label(key, ()):
                return key in state.labels
            case Label(key, globs):
                return _pair(state.labels, key, globs)
            case Field(("metadata", "uid"), globs):
                return not globs or any(glob.matches(state.uid) for glob in globs)
            case Field():
                return _pair(state.fields, item.dotted, item.globs)
            case Word(text):
                text = text.lower()
                return any(text in value.lower() for value in (state.name, state.namespace, *state.labels))


def _pair(pairs: Collection[str], key: str, globs: tuple[Glob, ...]) -> bool:
    for glob in globs:
        if glob.is_literal:
            if f"{key}={glob.text}" in pairs:
                return True
        elif any(pair.startswith(f"{key}=") and glob.matches(pair[len(key) + 1 :]) for pair in pairs):
            return True
    return False
