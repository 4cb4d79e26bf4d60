"""Field-selector paths that Kubernetes itself supports, besides metadata.name and metadata.namespace."""

from __future__ import annotations

from typing import Any, Final

from schema.jsonpath import JSONPath, JSONPathError, go_text

_INVOLVED: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")

FIELDS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.nominatedNodeName",
    ),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "namespaces"): ("status.phase",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("", "events"): (
        *(f"involvedObject.{name}" for name in _INVOLVED),
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("events.k8s.io", "events"): (
        *(f"regarding.{name}" for name in _INVOLVED),
        "reason",
        "reportingController",
        "type",
    ),
    ("batch", "jobs"): ("status.successful",),
    ("certificates.k8s.io", "certificatesigningrequests"): ("spec.signerName",),
    ("certificates.k8s.io", "clustertrustbundles"): ("spec.signerName",),
    ("certificates.k8s.io", "podcertificaterequests"): ("spec.signerName", "spec.podName", "spec.nodeName"),
    ("resource.k8s.io", "resourceslices"): ("spec.nodeName", "spec.driver", "spec.pool.name"),
}
"""By (group, resource). Every object has a value for each of them, which may be empty."""


class SelectableFields:
    """The `selectableFields` of a CRD, given as JSONPaths (`.spec.color`)."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = [(path.removeprefix("."), _compiled(path)) for path in paths]

    def of(self, obj: dict[str, Any]) -> list[str]:
        """`path=value` for each; what is missing, null or cannot be found has the empty value."""
        return [f"{name}={_value(path, obj)}" for name, path in self._paths]


def _compiled(path: str) -> JSONPath | None:
    try:
        return JSONPath(f".{path.removeprefix('.')}")
    except JSONPathError:
        return None  # the API server refuses such a CRD; one that came by another way must not stop its type


def _value(path: JSONPath | None, obj: dict[str, Any]) -> str:
    try:
        found = path.find(obj) if path else []
    except JSONPathError:
        return ""
    return go_text(found[0]) if found and found[0] is not None else ""
