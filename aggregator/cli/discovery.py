"""From what a person types (`deploy`, `pods,svc`, `all`) to the types that the fleet serves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aggregator.client import Client
from schema.errors import BadRequest

_ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


@dataclass(frozen=True)
class Served:
    """One type in the version that its group prefers."""

    group: str
    version: str
    resource: str
    kind: str
    singular: str
    namespaced: bool
    short_names: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """As `kubectl -o name`: `deployment.apps`."""
        name = self.singular or self.kind.lower()
        return f"{name}.{self.group}" if self.group else name

    def is_called(self, name: str) -> bool:
        name = name.lower()
        return name in (self.resource, self.singular, self.kind.lower(), *self.short_names)


def find(client: Client, words: str) -> list[Served]:
    """Types for a comma-separated list of names, short names, kinds, categories, NAME.GROUP, NAME.VERSION.GROUP.

    Raises BadRequest that names the word nobody serves."""
    served = discover(client)
    found: list[Served] = []
    for word in filter(None, (part.strip() for part in words.split(","))):
        matches = _called(served, word)
        if not matches:
            raise BadRequest(f"no cluster serves a type called {word!r}; `kubectl api-resources` lists what there is")
        found += [match for match in matches if match not in found]
    if not found:
        raise BadRequest("name a type, e.g. pods")
    return found


def _called(served: list[Served], word: str) -> list[Served]:
    """Core types win over others of the same name, as with kubectl; a category means all of its types."""
    category = [one for one in served if word in one.categories]
    name, _, rest = word.partition(".")
    candidates = [one for one in served if one.is_called(name)]
    if not rest:
        return candidates[:1] or category
    exact = [one for one in candidates if rest in (one.group, f"{one.version}.{one.group}", f"{one.version}.")]
    return exact[:1] or [one for one in candidates if one.group.startswith(rest)][:1]


def discover(client: Client) -> list[Served]:
    """Every listable type, core first, preferred versions only."""
    found = []
    for path in ("/fleet/api", "/fleet/apis"):
        for group in client.get(path, accept=_ACCEPT)["items"]:
            seen: set[str] = set()
            for version in group["versions"]:
                for resource in version.get("resources") or []:
                    if resource["resource"] not in seen and "list" in resource["verbs"]:
                        seen.add(resource["resource"])
                        found.append(_served(group, version, resource))
    return found


def _served(group: dict[str, Any], version: dict[str, Any], resource: dict[str, Any]) -> Served:
    return Served(
        group=group["metadata"].get("name") or "",
        version=version["version"],
        resource=resource["resource"],
        kind=resource["responseKind"]["kind"],
        singular=resource.get("singularResource") or "",
        namespaced=resource["scope"] == "Namespaced",
        short_names=tuple(resource.get("shortNames") or ()),
        categories=tuple(resource.get("categories") or ()),
    )
