"""What an actor may see: patterns over clusters, namespaces and kinds. No query compiles without one."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from schema.resource import ResourceType


@dataclass(frozen=True)
class Scope:
    """Names with `*` as wildcard; empty means all. `namespaces` hides cluster-scoped objects, except the Namespace
    objects of these names. `kinds` are plurals (`pods`, in every group), plurals with group (`deployments.apps`), or
    kinds (`Pod`)."""

    clusters: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    @classmethod
    def everything(cls) -> Scope:
        return cls()

    def allows_cluster(self, name: str) -> bool:
        return _any(self.clusters, name)

    def allows_namespace(self, name: str) -> bool:
        return _any(self.namespaces, name)

    def allows_type(self, type: ResourceType) -> bool:
        return any(_any(self.kinds, name) for name in (type.resource, type.name, type.kind))


def _any(patterns: tuple[str, ...], value: str) -> bool:
    return not patterns or any(
        fnmatchcase(value, pattern.replace("[", "[[]").replace("?", "[?]")) for pattern in patterns
    )
