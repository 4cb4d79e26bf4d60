"""The YAML that installs an agent in its member: namespace, least rights, credential, Deployment."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any, Final

import yaml

from aggregator.operations.clusters import Clusters
from aggregator.rbac.identity import Actor
from schema.errors import BadRequest

NAMESPACE: Final = "fleetpedia-system"
NAME: Final = "fleetpedia-agent"
IMAGE: Final = "fleetpedia-agent"
USER: Final = 10001
METRICS_PORT: Final = 9465
_MOUNT: Final = "/etc/fleetpedia"


class _Plain(yaml.SafeDumper):
    """Without anchors: people read it."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


class Manifests:
    """`server`: URL that agents reach us by. `ca`: PEM of its authority; empty where the system's are right."""

    def __init__(self, clusters: Clusters, server: str, ca: str) -> None:
        self._clusters = clusters
        self._server = server
        self._ca = ca

    async def make(self, actor: Actor, cluster: str, image: str = "", namespace: str = "") -> str:
        """Text for `kubectl apply -f -`, with a new credential. Raises NotFound, BadRequest."""
        if namespace not in ("", NAMESPACE):
            raise BadRequest(f"namespace {namespace!r}: the agent keeps its Lease in {NAMESPACE} and runs there")
        if any(character.isspace() for character in image):
            raise BadRequest(f"image {image!r} has whitespace in it")
        token = await self._clusters.credential(actor, cluster)
        parts = documents(cluster, self._server, self._ca, token, image or f"{IMAGE}:{version('fleetpedia')}")
        return yaml.dump_all(parts, Dumper=_Plain, sort_keys=False, width=1000)


def documents(cluster: str, server: str, ca: str, token: str, image: str) -> list[dict[str, Any]]:
    """In the order in which they must be created."""
    account = [{"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}]
    secret = {"token": token, **({"ca.crt": ca} if ca else {})}
    return [
        {
            **_head("v1", "Namespace", NAMESPACE, namespaced=False),
            "metadata": {
                "name": NAMESPACE,
                "labels": {"pod-security.kubernetes.io/enforce": "restricted", **_labels()},
            },
        },
        _head("v1", "ServiceAccount", NAME),
        {**_head("rbac.authorization.k8s.io/v1", "ClusterRole", NAME, namespaced=False), "rules": _reading()},
        {
            **_head("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", NAME, namespaced=False),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
            "subjects": account,
        },
        {**_head("rbac.authorization.k8s.io/v1", "Role", NAME), "rules": _lease()},
        {
            **_head("rbac.authorization.k8s.io/v1", "RoleBinding", NAME),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME},
            "subjects": account,
        },
        {**_head("v1", "Secret", NAME), "type": "Opaque", "stringData": secret},
        {**_head("apps/v1", "Deployment", NAME), "spec": _deployment(cluster, server, bool(ca), image)},
    ]


def _head(api_version: str, kind: str, name: str, *, namespaced: bool = True) -> dict[str, Any]:
    metadata = {"name": name, **({"namespace": NAMESPACE} if namespaced else {}), "labels": _labels()}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata}


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "fleetpedia"}


def _reading() -> list[dict[str, Any]]:
    """Everything, since everything is synced; what a policy leaves out is left out by the agent."""
    return [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version"], "verbs": ["get"]},
    ]


def _lease() -> list[dict[str, Any]]:
    """`create` cannot be bound to a name."""
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
    return [
        {**leases, "verbs": ["create"]},
        {**leases, "resourceNames": [NAME], "verbs": ["get", "update", "patch"]},
    ]


def _deployment(cluster: str, server: str, own_ca: bool, image: str) -> dict[str, Any]:
    arguments = [f"--server={server}", f"--token-file={_MOUNT}/token"]
    arguments += [f"--ca-file={_MOUNT}/ca.crt"] if own_ca else []
    probe = {"periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 6}
    container = {
        "name": "agent",
        "image": image,
        "command": ["fleetpedia-agent"],
        "args": [*arguments, f"--metrics=0.0.0.0:{METRICS_PORT}"],
        "ports": [{"name": "metrics", "containerPort": METRICS_PORT}],
        "livenessProbe": {"httpGet": {"path": "/livez", "port": "metrics"}, **probe},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, **probe},
        "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "credential", "mountPath": _MOUNT, "readOnly": True}],
    }
    pod = {
        "serviceAccountName": NAME,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "credential", "secret": {"secretName": NAME, "defaultMode": 0o440}}],
    }
    return {
        "replicas": 1,
        # Two agents of one cluster would fence each other off for the time of a roll-out.
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
        "template": {
            "metadata": {"labels": _labels(), "annotations": {"fleetpedia.io/cluster": cluster}},
            "spec": pod,
        },
    }
