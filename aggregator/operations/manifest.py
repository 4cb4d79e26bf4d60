"""What `kubectl apply -f -` installs in a member: a namespace, rights to read, a credential, one Deployment."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import yaml

from schema.errors import BadRequest

NAMESPACE: Final = "fleetpedia-system"
IMAGE: Final = f"fleetpedia-agent:{version('fleetpedia')}"
_APP: Final = "fleetpedia-agent"
_LABELS: Final = {"app.kubernetes.io/name": _APP, "app.kubernetes.io/part-of": "fleetpedia"}
_USER: Final = 10001
_METRICS_PORT: Final = 8080


@dataclass(frozen=True)
class AgentAccess:
    """How agents reach us: a URL without a trailing slash, and the CA to trust (PEM; empty: the system's)."""

    url: str
    ca: str = ""


@dataclass(frozen=True)
class Options:
    namespace: str = NAMESPACE
    image: str = IMAGE

    def check(self) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", self.namespace):
            raise BadRequest(f"namespace={self.namespace!r} is not a DNS label")
        if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9._/:@]{0,254}", self.image):
            raise BadRequest(f"image={self.image!r} is not an image reference")


def render(cluster: str, token: str, access: AgentAccess, options: Options) -> str:
    """The manifest as YAML. It holds a secret: the agent's credential."""
    documents = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": _meta(options.namespace, labels=_pod_security())},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(_APP, options.namespace)},
        *_reading(options.namespace),
        *_lease(options.namespace),
        _secret(token, access, options.namespace),
        _deployment(cluster, access, options),
    ]
    head = f"# Fleetpedia's agent for cluster {cluster}. It reads; the only thing it writes is its own Lease.\n"
    return head + yaml.safe_dump_all(documents, sort_keys=False)


def _meta(name: str, namespace: str = "", labels: dict[str, str] | None = None) -> dict[str, Any]:
    placed = {"name": name, "namespace": namespace} if namespace else {"name": name}
    return {**placed, "labels": {**_LABELS, **(labels or {})}}


def _pod_security() -> dict[str, str]:
    return {"pod-security.kubernetes.io/enforce": "restricted"}


def _reading(namespace: str) -> list[dict[str, Any]]:
    rules = [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version", "/livez", "/readyz"], "verbs": ["get"]},
    ]
    return [
        {"apiVersion": _RBAC, "kind": "ClusterRole", "metadata": _meta(_APP), "rules": rules},
        {
            "apiVersion": _RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": _meta(_APP),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _APP},
            "subjects": [{"kind": "ServiceAccount", "name": _APP, "namespace": namespace}],
        },
    ]


def _lease(namespace: str) -> list[dict[str, Any]]:
    """Its own Lease and no other: creation cannot be limited by name, so it is limited by the namespace."""
    rules = [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": [_APP],
            "verbs": ["update", "patch"],
        },
    ]
    return [
        {"apiVersion": _RBAC, "kind": "Role", "metadata": _meta(_APP, namespace), "rules": rules},
        {
            "apiVersion": _RBAC,
            "kind": "RoleBinding",
            "metadata": _meta(_APP, namespace),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": _APP},
            "subjects": [{"kind": "ServiceAccount", "name": _APP, "namespace": namespace}],
        },
    ]


def _secret(token: str, access: AgentAccess, namespace: str) -> dict[str, Any]:
    data = {"token": token, **({"ca.crt": access.ca} if access.ca else {})}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _meta(_APP, namespace),
        "type": "Opaque",
        "stringData": data,
    }


def _deployment(cluster: str, access: AgentAccess, options: Options) -> dict[str, Any]:
    selector = {"app.kubernetes.io/name": _APP}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _meta(_APP, options.namespace),
        "spec": {
            "replicas": 1,
            # Two agents on one credential would fence each other for as long as both run.
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": selector},
            "template": {
                "metadata": {"labels": _LABELS, "annotations": {"fleetpedia.io/cluster": cluster}},
                "spec": {
                    "serviceAccountName": _APP,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": _USER,
                        "runAsGroup": _USER,
                        "fsGroup": _USER,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(access, options)],
                    "volumes": [{"name": "credential", "secret": {"secretName": _APP, "defaultMode": 0o440}}],
                },
            },
        },
    }


def _container(access: AgentAccess, options: Options) -> dict[str, Any]:
    arguments = ["--server", access.url, "--token-file", f"{_FOLDER}/token", "--metrics", f"0.0.0.0:{_METRICS_PORT}"]
    if access.ca:
        arguments += ["--ca-file", f"{_FOLDER}/ca.crt"]
    return {
        "name": "agent",
        "image": options.image,
        "args": arguments,
        "ports": [{"name": "metrics", "containerPort": _METRICS_PORT}],
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "metrics"}, "periodSeconds": 20},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 10},
        "resources": {"requests": {"cpu": "50m", "memory": "80Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "credential", "mountPath": _FOLDER, "readOnly": True}],
    }


_RBAC: Final = "rbac.authorization.k8s.io/v1"
_FOLDER: Final = "/var/run/fleetpedia"
