"""One member cluster: its types, its objects and the one counter from which all resourceVersions come."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from .objects import Change, Held, Objects
from .population import Population, key_of
from .rows import Identity, Row
from .types import ALL_VERBS, BUILT_IN, ServedType, StorageKey, Subresource

CRDS: StorageKey = ("apiextensions.k8s.io", "customresourcedefinitions")
WRITTEN_ORDINALS = 1 << 40
"""Ordinals from here on belong to objects that were made after the seed's."""


def served_by(definition: dict[str, Any]) -> list[ServedType]:
    """The types that a CustomResourceDefinition adds, one a served version."""
    spec = definition["spec"]
    names = spec["names"]
    group = spec["group"]
    types = []
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        subresources: tuple[Subresource, ...] = ()
        if "status" in (version.get("subresources") or {}):
            subresources = (Subresource("status", names["kind"], group=group, version=version["name"]),)
        types.append(
            ServedType(
                group,
                version["name"],
                names["plural"],
                names["kind"],
                spec.get("scope", "Namespaced") == "Namespaced",
                names.get("singular") or names["kind"].lower(),
                tuple(names.get("shortNames") or ()),
                tuple(names.get("categories") or ()),
                ALL_VERBS,
                subresources,
                custom=True,
                storage=(group, names["plural"]),
            )
        )
    return types


class Member:
    """State of one member. All changes go through `write` and `remove`, in one thread."""

    def __init__(
        self, name: str, population: Population, seed: int, token: str, rv: int, base: int, window: int = 5000
    ) -> None:
        """`rv` is where the counter starts; seed objects have the versions `base` + ordinal, all below it."""
        self.name = name
        self.token = token
        self.population = population
        digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
        self.identity = Identity(int.from_bytes(digest[:16], "big"))
        self.rv = rv
        self.base = base
        self.window = window
        self.start_rv = rv
        self.next_ordinal = WRITTEN_ORDINALS
        self._objects: dict[StorageKey, Objects] = {}
        self.custom: dict[str, list[ServedType]] = {}
        """Types by the name of the CRD that defines them."""
        self.discovery_version = 0
        self.generation = 0
        """Raised to end all running watches: each remembers the value it began with."""
        self.define_all()

    @property
    def uid(self) -> str:
        """The uid of kube-system, by which the cluster is known."""
        held = self.objects(("", "namespaces")).get(b"kube-system")
        return held[0].uid(self.identity) if held else ""

    def objects(self, storage: StorageKey) -> Objects:
        found = self._objects.get(storage)
        if found is None:
            seed = self.population.sets.get(storage)
            found = self._objects[storage] = Objects(seed, self.base, self.window, self.start_rv)
        return found

    def all_objects(self) -> list[tuple[StorageKey, Objects]]:
        """Every type that has or had objects."""
        keys = {**self.population.sets, **self._objects}
        return [(storage, self.objects(storage)) for storage in keys]

    # -- types -----------------------------------------------------------------------------------------------------

    def types(self) -> list[ServedType]:
        return [*BUILT_IN, *(served for types in self.custom.values() for served in types)]

    def find(self, group: str, version: str, resource: str) -> ServedType | None:
        found = _BUILT_IN_INDEX.get((group, version, resource))
        if found is not None:
            return found
        for types in self.custom.values():
            for served in types:
                if (served.group, served.version, served.resource) == (group, version, resource):
                    return served
        return None

    def define_all(self) -> None:
        """Reads all CRDs anew."""
        self.custom = {}
        for _, (row, version) in self.objects(CRDS).walk():
            self._define(row.name, row.body(self.identity, version))

    def _define(self, name: str, body: bytes) -> None:
        self.custom[name] = served_by(orjson.loads(b"{" + body))
        self.discovery_version += 1

    # -- writing ---------------------------------------------------------------------------------------------------

    def new_ordinal(self) -> int:
        self.next_ordinal += 1
        return self.next_ordinal

    def write(self, storage: StorageKey, row: Row) -> Change:
        """Creates or replaces an object at the next version."""
        self.rv += 1
        change = self.objects(storage).put(row, self.rv)
        if storage == CRDS:
            self._define(row.name, row.body(self.identity, self.rv))
        return change

    def remove(self, storage: StorageKey, namespace: str, name: str, row: Row | None = None) -> Change | None:
        """Deletes an object; None when there is none. A CRD takes its objects with it."""
        objects = self.objects(storage)
        key = key_of(namespace, name)
        if objects.get(key) is None:
            return None
        if storage == CRDS:
            for served in self.custom.pop(name, [])[:1]:
                for key_, (row_, _) in list(self.objects(served.storage).walk()):
                    self.rv += 1
                    self.objects(served.storage).delete(key_, self.rv, row_)
                self._objects[served.storage].wake()
            self.discovery_version += 1
        self.rv += 1
        return objects.delete(key, self.rv, row)

    def get(self, storage: StorageKey, namespace: str, name: str) -> Held | None:
        return self.objects(storage).get(key_of(namespace, name))

    # -- what goes wrong -------------------------------------------------------------------------------------------

    def cut_watches(self) -> None:
        """Ends every running watch, without a word to the client."""
        self.generation += 1
        for objects in self._objects.values():
            objects.wake()

    def expire(self) -> None:
        """Forgets past changes: a watch or an exact list from before now is 410."""
        self.rv += 1
        self.start_rv = self.rv
        for objects in self._objects.values():
            objects.expire(self.rv)


_BUILT_IN_INDEX = {(served.group, served.version, served.resource): served for served in BUILT_IN}
