"""Roles, bindings and Leases."""

from __future__ import annotations

from ..template import Template
from .common import document

VALUES = ("created", "subject", "renewed")
_RULES = [
    {
        "verbs": ["get", "list", "watch"],
        "apiGroups": ["", "apps"],
        "resources": ["pods", "deployments"],
    },
    {"verbs": ["create"], "apiGroups": [""], "resources": ["pods/exec"]},
]
_API = "rbac.authorization.k8s.io"


def role_template(cluster: bool) -> Template:
    body = document(f"{_API}/v1", {"rules": _RULES}, namespaced=not cluster)
    return Template(("role", cluster), body, VALUES)


def binding_template(cluster: bool) -> Template:
    subjects = [{"kind": "User", "apiGroup": _API, "name": "@subject@"}]
    reference = {"apiGroup": _API, "kind": "ClusterRole" if cluster else "Role", "name": "@name@"}
    body = document(f"{_API}/v1", {"subjects": subjects, "roleRef": reference}, namespaced=not cluster)
    return Template(("binding", cluster), body, VALUES)


def lease_template() -> Template:
    """A node's heartbeat."""
    spec = {
        "holderIdentity": "@name@",
        "leaseDurationSeconds": 40,
        "renewTime": "@renewed@",
    }
    body = document("coordination.k8s.io/v1", {"spec": spec}, manager="kubelet")
    return Template(("lease",), body, VALUES)
