"""When an answer of ours and one of a member's own API server say the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.controlplane.api import Api
from tests.e2e.client import Client

OURS = ("fleetpedia.io/", "shadow.clusterpedia.io/")
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
# Left out by default (traps 28): they never rest. Events of the two groups are one storage (traps 19).
EXCLUDED = {("coordination.k8s.io", "leases"), ("", "endpoints")}
AGE = re.compile(r"\b(\d+)([smhdy])(?:(\d+)([smhd]))?\b")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
# Two answers are not given at one time: this far ages may lie apart, besides the rounding of what is printed.
AGE_TOLERANCE_SECONDS = 3

Key = tuple[str, str]


@dataclass(frozen=True)
class Type:
    """A type as the member's discovery names it."""

    group: str
    version: str
    resource: str
    kind: str
    namespaced: bool

    @property
    def name(self) -> str:
        return f"{self.resource}.{self.group}" if self.group else self.resource

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def path(self) -> str:
        return f"{'/apis/' + self.group if self.group else '/api'}/{self.version}/{self.resource}"


def synced_types(api: Api) -> list[Type]:
    """All that can be listed and watched, each once at the version that its group prefers, without what policy leaves
    out by default; read from the member's own discovery."""
    groups = [("", ["v1"])]
    for group in api.get("/apis")["groups"]:
        preferred = group["preferredVersion"]["version"]
        others = [entry["version"] for entry in group["versions"] if entry["version"] != preferred]
        groups.append((group["name"], [preferred, *others]))
    found: dict[tuple[str, str], Type] = {}
    for group, versions in groups:
        for version in versions:
            base = f"/apis/{group}/{version}" if group else f"/api/{version}"
            for entry in api.get(base)["resources"]:
                if "/" not in entry["name"] and {"list", "watch"} <= set(entry["verbs"]):
                    one = Type(group, version, entry["name"], entry["kind"], entry["namespaced"])
                    found.setdefault((group, entry["name"]), one)
    left_out = {*EXCLUDED, ("events.k8s.io", "events")}
    return [one for key, one in found.items() if key not in left_out]


def comparable(item: dict[str, Any], type: Type) -> dict[str, Any]:
    """An object without what may differ: managedFields, resourceVersion, our annotations, a Secret's values."""
    item = {"apiVersion": type.api_version, "kind": type.kind, **item}
    metadata = dict(item["metadata"])
    metadata.pop("managedFields", None)
    metadata.pop("resourceVersion", None)
    annotations = {
        key: value for key, value in (metadata.pop("annotations", None) or {}).items() if not key.startswith(OURS)
    }
    if type.name == "secrets":
        annotations.pop(LAST_APPLIED, None)
        if item.get("data"):
            item["data"] = dict.fromkeys(item["data"], "")
    if annotations:
        metadata["annotations"] = annotations
    item["metadata"] = metadata
    return item


def key_of(item: dict[str, Any]) -> Key:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def member_objects(api: Api, type: Type, *, limit: int = 500) -> dict[Key, dict[str, Any]]:
    """All of a type from the member itself, page by page."""
    found: dict[Key, dict[str, Any]] = {}
    token = ""
    while True:
        page = api.get(f"{type.path}?limit={limit}" + (f"&continue={token}" if token else ""))
        found |= {key_of(item): comparable(item, type) for item in page["items"]}
        token = page["metadata"].get("continue", "")
        if not token:
            return found


def index_objects(client: Client, type: Type, cluster: str) -> dict[Key, dict[str, Any]]:
    """All of a type of one cluster from `/fleet`, page by page. Raises AssertionError where a key comes twice."""
    found: dict[Key, dict[str, Any]] = {}
    for item in client.pages(f"/fleet{type.path}", labelSelector=f"fleetpedia.io/cluster={cluster}"):
        assert item["metadata"]["annotations"]["fleetpedia.io/cluster"] == cluster
        key = key_of(item)
        assert key not in found, f"{type.name} {key} comes twice in one list"
        found[key] = comparable(item, type)
    return found


def differences(member: dict[Key, Any], index: dict[Key, Any]) -> list[str]:
    """What is not the same, one line each."""
    lines = [f"missing {key}" for key in member.keys() - index.keys()]
    lines += [f"ghost {key}" for key in index.keys() - member.keys()]
    for key in member.keys() & index.keys():
        if member[key] != index[key]:
            lines.append(f"different {key}: {_where(member[key], index[key])}")
    return sorted(lines)


def _where(member: Any, index: Any, path: str = "") -> str:
    """The first place at which two JSON values part."""
    if isinstance(member, dict) and isinstance(index, dict):
        for name in sorted(member.keys() | index.keys()):
            if member.get(name) != index.get(name) or (name in member) != (name in index):
                return _where(member.get(name), index.get(name), f"{path}.{name}")
    if isinstance(member, list) and isinstance(index, list) and len(member) == len(index):
        for position, (left, right) in enumerate(zip(member, index, strict=True)):
            if left != right:
                return _where(left, right, f"{path}[{position}]")
    return f"{path}: member {str(member)[:200]!r}, index {str(index)[:200]!r}"


# -- Tables ---------------------------------------------------------------------------------------------------------
def rows_of(table: dict[str, Any]) -> dict[Key, list[Any]]:
    return {key_of(row["object"]): row["cells"] for row in table["rows"] or ()}


def without_cluster(table: dict[str, Any], cluster: str) -> dict[str, Any]:
    """Our Table without its first column, which must be CLUSTER and say `cluster`."""
    first = table["columnDefinitions"][0]
    assert first["name"].upper() == "CLUSTER", table["columnDefinitions"]
    for row in table["rows"] or ():
        assert row["cells"][0] == cluster, row
    return {
        "columnDefinitions": table["columnDefinitions"][1:],
        "rows": [{**row, "cells": row["cells"][1:]} for row in table["rows"] or ()],
    }


def columns_of(table: dict[str, Any]) -> list[tuple[Any, ...]]:
    names = ("name", "type", "format", "priority", "description")
    return [
        tuple(column.get(name) or ("" if name != "priority" else 0) for name in names)
        for column in table["columnDefinitions"]
    ]


def table_differences(member: dict[str, Any], index: dict[str, Any]) -> list[str]:
    """Columns, rows and cells that differ, ages beyond the tolerance included."""
    lines = []
    if columns_of(member) != columns_of(index):
        lines.append(f"columns: member {columns_of(member)}, index {columns_of(index)}")
    theirs, ours = rows_of(member), rows_of(index)
    lines += [f"missing row {key}" for key in theirs.keys() - ours.keys()]
    lines += [f"ghost row {key}" for key in ours.keys() - theirs.keys()]
    names = [column["name"] for column in member["columnDefinitions"]]
    for key in sorted(theirs.keys() & ours.keys()):
        lines += _cell_differences(key, names, theirs[key], ours[key])
    return lines


def _cell_differences(key: Key, names: list[str], member: list[Any], index: list[Any]) -> Iterable[str]:
    if len(member) != len(index):
        return [f"{key}: {len(member)} cells in the member's row, {len(index)} in ours"]
    if member[len(names) :] != index[len(names) :]:
        return [f"{key}: beyond the columns: member {member[len(names) :]}, index {index[len(names) :]}"]
    return [
        f"{key} {name}: member {left!r}, index {right!r}"
        # strict is off: for a few types the server prints more cells than it names columns.
        for name, left, right in zip(names, member, index, strict=False)
        if not same_cell(left, right)
    ]


def same_cell(left: Any, right: Any) -> bool:
    """Equal, or texts that differ in nothing but ages that lie close together."""
    if left == right and type(left) is type(right):
        return True
    if not (isinstance(left, str) and isinstance(right, str)) or AGE.sub("", left) != AGE.sub("", right):
        return False
    return all(_close(one, other) for one, other in zip(AGE.finditer(left), AGE.finditer(right), strict=True))


def _close(left: re.Match[str], right: re.Match[str]) -> bool:
    units = [match[4] or match[2] for match in (left, right)]
    rounding = max(SECONDS[unit] for unit in units)
    tolerance = AGE_TOLERANCE_SECONDS + (rounding if rounding > 1 else 0)
    return abs(_seconds(left) - _seconds(right)) <= tolerance


def _seconds(age: re.Match[str]) -> int:
    return int(age[1]) * SECONDS[age[2]] + (int(age[3]) * SECONDS[age[4]] if age[3] else 0)
