"""Discovery in both forms: one aggregated document, and the older one-document-a-group-version."""

from __future__ import annotations

from typing import Any

from .member import Member
from .template import go_json
from .types import ServedType, Subresource

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
CUSTOM_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""The same verbs as everywhere, in the order in which the server lists them for CRDs' types."""
VERSION = {
    "major": "1",
    "minor": "37",
    "emulationMajor": "1",
    "emulationMinor": "37",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "36",
    "gitVersion": "v1.37.2",
    "gitCommit": "5a2f1c7de38b04906f1e2ab3c4d5e6f708192a3b",
    "gitTreeState": "clean",
    "buildDate": "2026-10-14T09:00:00Z",
    "goVersion": "go1.26.8",
    "compiler": "gc",
    "platform": "linux/amd64",
}

Groups = dict[str, dict[str, list[ServedType]]]


def groups(member: Member) -> Groups:
    """Served types by group and version, in the order in which the server prefers them."""
    found: Groups = {}
    for served in member.types():
        found.setdefault(served.group, {}).setdefault(served.version, []).append(served)
    for versions in found.values():
        for types in versions.values():
            types.sort(key=lambda served: served.resource)
    return found


def _response_kind(kind: str, group: str, version: str) -> dict[str, str]:
    return {"group": group, "version": version, "kind": kind}


def _subresource(sub: Subresource) -> dict[str, Any]:
    return {
        "subresource": sub.name,
        "responseKind": _response_kind(sub.kind, sub.group, sub.version),
        "verbs": list(sub.verbs),
    }


def _resource(served: ServedType) -> dict[str, Any]:
    own = (served.group, served.version) if served.custom else ("", "")
    entry: dict[str, Any] = {
        "resource": served.resource,
        "responseKind": _response_kind(served.kind, *own),
        "scope": "Namespaced" if served.namespaced else "Cluster",
        "singularResource": served.singular,
        "verbs": list(CUSTOM_VERBS if served.custom else served.verbs),
    }
    if served.short_names:
        entry["shortNames"] = list(served.short_names)
    if served.categories:
        entry["categories"] = list(served.categories)
    if served.subresources:
        entry["subresources"] = [_subresource(sub) for sub in served.subresources]
    return entry


def aggregated(member: Member, core: bool, version: str, stale: frozenset[str] = frozenset()) -> bytes:
    """`APIGroupDiscoveryList` for /api (`core`) or /apis; groups in `stale` are marked so and show nothing."""
    items = []
    for group, versions in groups(member).items():
        if (group == "") != core:
            continue
        items.append(
            {
                "metadata": {} if group == "" else {"name": group},
                "versions": [
                    {
                        "version": name,
                        **({} if group in stale else {"resources": [_resource(served) for served in types]}),
                        "freshness": "Stale" if group in stale else "Current",
                    }
                    for name, types in versions.items()
                ],
            }
        )
    document = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }
    return go_json(document)


def api_versions(address: str) -> bytes:
    return go_json(
        {
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
        }
    )


def _group(name: str, versions: list[str]) -> dict[str, Any]:
    listed = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def group_list(member: Member) -> bytes:
    listed = [_group(name, list(versions)) for name, versions in groups(member).items() if name]
    return go_json({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})


def group(member: Member, name: str) -> bytes | None:
    versions = groups(member).get(name)
    if not versions:
        return None
    return go_json({"kind": "APIGroup", "apiVersion": "v1", **_group(name, list(versions))})


def resource_list(member: Member, name: str, version: str) -> bytes | None:
    """`APIResourceList` of one group/version; None when it is not served."""
    types = groups(member).get(name, {}).get(version)
    if types is None:
        return None
    resources: list[dict[str, Any]] = []
    for served in types:
        entry: dict[str, Any] = {
            "name": served.resource,
            "singularName": served.singular,
            "namespaced": served.namespaced,
            "kind": served.kind,
            "verbs": list(CUSTOM_VERBS if served.custom else served.verbs),
        }
        if served.short_names:
            entry["shortNames"] = list(served.short_names)
        if served.categories:
            entry["categories"] = list(served.categories)
        resources.append(entry)
        for sub in served.subresources:
            foreign = {"group": sub.group, "version": sub.version} if sub.group and not served.custom else {}
            resources.append(
                {
                    "name": f"{served.resource}/{sub.name}",
                    "singularName": "",
                    "namespaced": served.namespaced,
                    **foreign,
                    "kind": sub.kind,
                    "verbs": list(sub.verbs),
                }
            )
    group_version = f"{name}/{version}" if name else version
    head = {"kind": "APIResourceList", **({"apiVersion": "v1"} if name else {}), "groupVersion": group_version}
    return go_json({**head, "resources": resources})
