"""What all bodies share: metadata in Go's order, managedFields made from the body's own shape, times as text."""

from __future__ import annotations

import time
from typing import Any

Body = dict[str, Any]


def stamp(seconds: float) -> bytes:
    """Unix seconds as Kubernetes writes a time, e.g. 2026-11-24T18:46:36Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)).encode()


def owner(api_version: str, kind: str, name: str, controller: bool = True) -> Body:
    """An ownerReference to the row's owner."""
    reference: Body = {"apiVersion": api_version, "kind": kind, "name": name, "uid": "@owner@"}
    if controller:
        reference |= {"controller": True, "blockOwnerDeletion": True}
    return reference


def _fields(value: Any) -> Body:
    """The fieldsV1 set of a value: `f:` for keys, `k:` for items of a list that have a key."""
    if isinstance(value, dict):
        return {f"f:{key}": _fields(item) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        key = next((k for k in ("name", "type", "containerPort", "uid", "ip") if k in value[0]), None)
        if key is None:
            return {}
        entries: Body = {".": {}}
        for item in value:
            shown = f'"{item[key]}"' if isinstance(item[key], str) else str(item[key])
            entries["k:{" + f'"{key}":{shown}' + "}"] = {".": {}} | _fields(item)
        return entries
    return {}


def managed(manager: str, api_version: str, part: Body, status: bool = False, time: str = "@created@") -> Body:
    """One entry of managedFields that owns `part`."""
    entry: Body = {
        "manager": manager,
        "operation": "Update",
        "apiVersion": api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": _fields(part),
    }
    if status:
        entry["subresource"] = "status"
    return entry


def document(
    api_version: str,
    parts: Body,
    *,
    namespaced: bool = True,
    manager: str = "kubectl-create",
    status_manager: str = "kube-controller-manager",
    generate_name: str = "",
    generation: int | str | None = None,
    deletion: str = "",
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    owners: list[Body] | None = None,
    finalizers: list[str] | None = None,
    status_time: str = "@created@",
    with_managed: bool = True,
) -> Body:
    """A whole object without apiVersion and kind; `parts` are spec, status, data and the like in Go's order."""
    meta: Body = {"name": "@name@"}
    if generate_name:
        meta["generateName"] = generate_name
    if namespaced:
        meta["namespace"] = "@namespace@"
    meta |= {"uid": "@uid@", "resourceVersion": "@rv@"}
    if generation is not None:
        meta["generation"] = generation
    meta["creationTimestamp"] = "@created@"
    if deletion:
        meta |= {"deletionTimestamp": deletion, "deletionGracePeriodSeconds": 30}
    described: Body = {}
    if labels:
        described["labels"] = meta["labels"] = dict(sorted(labels.items()))
    if annotations:
        described["annotations"] = meta["annotations"] = dict(sorted(annotations.items()))
    if owners:
        described["ownerReferences"] = meta["ownerReferences"] = owners
    if finalizers:
        meta["finalizers"] = finalizers
    if with_managed:
        main = {"metadata": described} if described else {}
        main |= {key: value for key, value in parts.items() if key != "status"}
        meta["managedFields"] = [managed(manager, api_version, main)]
        if parts.get("status"):
            status = {"status": parts["status"]}
            meta["managedFields"].append(managed(status_manager, api_version, status, True, status_time))
    return {"metadata": meta, **parts}
