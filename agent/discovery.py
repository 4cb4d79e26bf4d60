"""Which types the member serves: each (group, resource) once, in the preferred version, only what can be listed and
watched. Aggregated discovery where the server has it, the older one document per group version else."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Final

import msgspec

from agent.crds import Columns
from agent.errors import KubeError, NotFound
from agent.kube import Kube
from schema.resource import ResourceType

log = logging.getLogger(__name__)
AGGREGATED: Final = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
TWINS: Final = {("events.k8s.io", "events"): ("", "events")}
"""One storage under two names: the left is left out where the right is served (traps 19)."""


class _Kind(msgspec.Struct):
    kind: str = ""


class _Resource(msgspec.Struct, rename="camel"):
    """Of aggregated discovery."""

    resource: str
    response_kind: _Kind | None = None
    scope: str = ""
    singular_resource: str = ""
    verbs: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class _Version(msgspec.Struct):
    version: str
    resources: list[_Resource] | None = None
    freshness: str = "Current"


class _Named(msgspec.Struct):
    name: str = ""


class _Group(msgspec.Struct):
    metadata: _Named = msgspec.field(default_factory=_Named)
    versions: list[_Version] | None = None


class _Groups(msgspec.Struct):
    items: list[_Group] | None = None


class _OldGroupVersion(msgspec.Struct):
    version: str


class _OldGroup(msgspec.Struct, rename="camel"):
    name: str
    versions: list[_OldGroupVersion]
    preferred_version: _OldGroupVersion | None = None


class _OldGroups(msgspec.Struct):
    groups: list[_OldGroup] | None = None
    versions: list[str] | None = None


class _OldResource(msgspec.Struct, rename="camel"):
    name: str
    kind: str = ""
    namespaced: bool = False
    singular_name: str = ""
    verbs: tuple[str, ...] = ()
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


class _OldResources(msgspec.Struct):
    resources: list[_OldResource] | None = None


@dataclass
class Served:
    """`groups`: names of the groups whose answer was fresh and whole; only these can show that a type is gone.
    `troubled`: group → why it was not."""

    types: dict[tuple[str, str], ResourceType] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    troubled: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not self.troubled


class Discovery:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self._etags: dict[str, str] = {}
        self._groups: dict[str, list[_Group]] = {}

    async def ask(self, columns: Columns) -> Served:
        """Raises KubeError where the server does not answer at all."""
        served = Served()
        for path in ("/api", "/apis"):
            for group in await self._groups_at(path, served):
                self._take(group, columns, served)
        for twin, original in TWINS.items():
            if original in served.types:
                served.types.pop(twin, None)
        return served

    async def _groups_at(self, path: str, served: Served) -> list[_Group]:
        body, etag, kind = await self._kube.get_if_changed(path, self._etags.get(path, ""), accept=AGGREGATED)
        if body is None:
            return self._groups[path]
        try:
            if "APIGroupDiscoveryList" in kind:
                groups = msgspec.json.decode(body, type=_Groups).items or []
                self._groups[path], self._etags[path] = groups, etag
                return groups
            return await self._old_groups(path, msgspec.json.decode(body, type=_OldGroups), served)
        except msgspec.DecodeError as error:
            raise KubeError(f"GET {path}: the answer is no discovery document: {error}") from error

    async def _old_groups(self, path: str, listed: _OldGroups, served: Served) -> list[_Group]:
        groups = []
        if path == "/api":
            versions = [
                await self._old_version("", version, f"/api/{version}", served) for version in listed.versions or []
            ]
            groups.append(_Group(_Named(""), versions))
        for group in listed.groups or []:
            preferred = group.preferred_version.version if group.preferred_version else ""
            names = sorted((entry.version for entry in group.versions), key=lambda name: name != preferred)
            versions = [
                await self._old_version(group.name, name, f"/apis/{group.name}/{name}", served) for name in names
            ]
            groups.append(_Group(_Named(group.name), versions))
        return groups

    async def _old_version(self, group: str, version: str, path: str, served: Served) -> _Version:
        try:
            listed = msgspec.json.decode(await self._kube.get(path), type=_OldResources)
        except NotFound:
            return _Version(version, [])
        except (KubeError, msgspec.DecodeError) as error:
            served.troubled[group] = str(error)
            return _Version(version, [], freshness="Stale")
        resources = [
            _Resource(
                one.name,
                _Kind(one.kind),
                "Namespaced" if one.namespaced else "Cluster",
                one.singular_name,
                one.verbs,
                one.short_names,
                one.categories,
            )
            for one in listed.resources or []
            if "/" not in one.name
        ]
        return _Version(version, resources)

    def _take(self, group: _Group, columns: Columns, served: Served) -> None:
        name = group.metadata.name
        stale = [version.version for version in group.versions or [] if version.freshness != "Current"]
        if stale:
            served.troubled.setdefault(name, f"the member's discovery of {name}/{stale[0]} is stale")
        else:
            served.groups.add(name)
        for version in group.versions or []:
            for resource in version.resources or []:
                if not {"list", "watch"} <= set(resource.verbs):
                    continue
                key = (name, resource.resource)
                if key not in served.types:
                    served.types[key] = _type(name, version.version, resource, group, columns)


def _type(name: str, version: str, resource: _Resource, group: _Group, columns: Columns) -> ResourceType:
    custom = columns.of(name, resource.resource, version)
    return ResourceType(
        group=name,
        version=version,
        resource=resource.resource,
        kind=resource.response_kind.kind if resource.response_kind else "",
        namespaced=resource.scope == "Namespaced",
        singular=resource.singular_resource,
        short_names=resource.short_names,
        categories=resource.categories,
        verbs=resource.verbs,
        columns=custom.columns if custom else None,
        selectable_fields=custom.fields if custom else (),
        served_versions=tuple(
            one.version
            for one in group.versions or []
            if any(other.resource == resource.resource for other in one.resources or [])
        ),
    )
