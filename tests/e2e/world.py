"""What a member holds for tests that read: a little of every type that has columns of its own, and many pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.api import ApiError
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.member import deployment, install

MANY = 20
"""Deployments that the many pods belong to."""

COLLECTIONS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
    "DaemonSet": "/apis/apps/v1/namespaces/{}/daemonsets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "IngressClass": "/apis/networking.k8s.io/v1/ingressclasses",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "LimitRange": "/api/v1/namespaces/{}/limitranges",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Pod": "/api/v1/namespaces/{}/pods",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Service": "/api/v1/namespaces/{}/services",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
}


def one_of_each(plane: ControlPlane, namespace: str = "world") -> None:
    """Everything of `world.yaml` in a namespace, and a CRD `gadgets` with printer columns and three objects."""
    plane.create_namespace(namespace)
    for item in yaml.safe_load((Path(__file__).parent / "world.yaml").read_text()):
        create(plane, namespace, item)
    crd = yaml.safe_load((Path(__file__).parent / "gadgets.yaml").read_text())
    path = install(plane, crd)
    for number in range(3):
        body = {
            "apiVersion": path.removeprefix("/apis/"),
            "kind": "Gadget",
            "metadata": {"name": f"gadget-{number}", "labels": {"size": str(number)}},
            "spec": {"size": number, "color": "red" if number else "blue", "since": "2026-01-01T00:00:00Z"},
        }
        plane.api.create(f"{path}/namespaces/{namespace}/gadgets", body)


def create(plane: ControlPlane, namespace: str, item: dict[str, Any]) -> None:
    plane.api.create(COLLECTIONS[item["kind"]].format(namespace), item)


def many_pods(plane: ControlPlane, pods: int, namespace: str = "many") -> None:
    """Deployments with `pods` replicas together; they run later."""
    plane.create_namespace(namespace)
    for number in range(MANY):
        replicas = pods // MANY + (1 if number < pods % MANY else 0)
        body = deployment(f"many-{number}", replicas, tier="front" if number % 2 else "back")
        plane.api.create(f"/apis/apps/v1/namespaces/{namespace}/deployments", body)


def wait_available(plane: ControlPlane, namespace: str, name: str, replicas: int) -> None:
    """Waits until a Deployment's pods run."""

    def available() -> bool:
        try:
            found = plane.api.get(f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")
        except ApiError:
            return False
        return bool(found["status"].get("availableReplicas", 0) == replicas)

    wait_until(available, f"{replicas} replicas of {name} are available", timeout=60, explain=plane.explain)
