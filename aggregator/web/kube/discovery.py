"""Discovery documents: which types the index serves, in the old form and in the aggregated one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from aggregator.web.kube.face import Face, FaceType
from schema.errors import NotFound

VERBS: Final = ["get", "list", "watch"]
_BUILT_IN: Final = (
    "",
    "apps",
    "events.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
)
"""First in this order, so that short names mean what they mean on a real API server; then all others by name."""
_VERSION: Final = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")

Groups = dict[str, dict[str, list[FaceType]]]
"""group → version → types, all in the order in which they are listed."""


def groups(face: Face) -> Groups:
    found: Groups = {"": {"v1": []}}
    for type in face.types():
        definition = type.definition
        found.setdefault(definition.group, {}).setdefault(definition.version, []).append(type)
    return {
        group: {version: found[group][version] for version in sorted(found[group], key=version_order)}
        for group in sorted(found, key=_group_order)
    }


def version_order(version: str) -> tuple[Any, ...]:
    """Sorts as Kubernetes does: stable before beta before alpha, newer first; other names last."""
    match = _VERSION.fullmatch(version)
    if not match:
        return 1, version
    major, stage, minor = match.groups()
    return 0, {None: 0, "beta": 1, "alpha": 2}[stage], -int(major), -int(minor or 0)


def aggregated(face: Face, version: str, *, core: bool) -> dict[str, Any]:
    """An APIGroupDiscoveryList of `v2` or `v2beta1`: the core group (/api), or all others (/apis)."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None},
                "versions": [
                    {"version": name, "resources": [_discovered(type) for type in types], "freshness": "Current"}
                    for name, types in versions.items()
                ],
            }
            for group, versions in groups(face).items()
            if (group == "") == core
        ],
    }


def _discovered(type: FaceType) -> dict[str, Any]:
    definition = type.definition
    found: dict[str, Any] = {
        "resource": definition.resource,
        "responseKind": {"group": definition.group, "version": definition.version, "kind": definition.kind},
        "scope": "Namespaced" if definition.namespaced else "Cluster",
        "singularResource": definition.singular or definition.kind.lower(),
        "verbs": VERBS,
    }
    if definition.short_names:
        found["shortNames"] = definition.short_names
    if definition.categories:
        found["categories"] = definition.categories
    return found


def api_versions(face: Face) -> dict[str, Any]:
    return {"kind": "APIVersions", "versions": list(groups(face)[""]), "serverAddressByClientCIDRs": []}


def group_list(face: Face) -> dict[str, Any]:
    found = [_group(group, versions) for group, versions in groups(face).items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(face: Face, name: str) -> dict[str, Any]:
    """Raises NotFound."""
    versions = groups(face).get(name) if name else None
    if versions is None:
        raise NotFound(f"there is no API group {name!r} in the index")
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, versions)}


def _group(name: str, versions: Iterable[str]) -> dict[str, Any]:
    named = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": named, "preferredVersion": named[0]}


def resource_list(face: Face, group: str, version: str) -> dict[str, Any]:
    """Raises NotFound."""
    types = groups(face).get(group, {}).get(version)
    name = f"{group}/{version}" if group else version
    if types is None:
        raise NotFound(f"there is no API {name!r} in the index")
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": name,
        "resources": [_resource(type) for type in types],
    }


def _resource(type: FaceType) -> dict[str, Any]:
    definition = type.definition
    found: dict[str, Any] = {
        "name": definition.resource,
        "singularName": definition.singular or definition.kind.lower(),
        "namespaced": definition.namespaced,
        "kind": definition.kind,
        "verbs": VERBS,
    }
    if definition.short_names:
        found["shortNames"] = definition.short_names
    if definition.categories:
        found["categories"] = definition.categories
    return found


def _group_order(group: str) -> tuple[int, str]:
    return (_BUILT_IN.index(group), "") if group in _BUILT_IN else (len(_BUILT_IN), group)
