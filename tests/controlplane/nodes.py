"""Nodes that kwok plays the kubelets of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.controlplane.api import Api
from tests.controlplane.waiting import wait_until

CAPACITY = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "1100"}
READY_TIMEOUT_SECONDS = 60.0


def create_nodes(api: Api, count: int, *, prefix: str = "node") -> list[str]:
    """Creates `{prefix}-0` … `{prefix}-{count-1}`; returns the names. They become Ready later."""
    names = [f"{prefix}-{number}" for number in range(count)]
    for number, name in enumerate(names):
        api.create("/api/v1/nodes", _node(name, zone=f"zone-{'abc'[number % 3]}"))
    return names


def wait_for_nodes(api: Api, names: list[str], *, explain: Callable[[], str]) -> None:
    """Waits until all of them are Ready."""
    wanted = set(names)

    def all_ready() -> bool:
        items = api.get("/api/v1/nodes")["items"]
        return wanted <= {node["metadata"]["name"] for node in items if _is_ready(node)}

    wait_until(all_ready, f"{len(names)} nodes are Ready", timeout=READY_TIMEOUT_SECONDS, explain=explain)


def _is_ready(node: dict[str, Any]) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _node(name: str, *, zone: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/worker": "",
                "topology.kubernetes.io/zone": zone,
            },
        },
        "status": {
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "nodeInfo": {
                "architecture": "amd64",
                "bootID": "",
                "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12.0",
                "kubeProxyVersion": "v1.37.2",
                "kubeletVersion": "v1.37.2",
                "machineID": name,
                "operatingSystem": "linux",
                "osImage": "Debian GNU/Linux 13 (trixie)",
                "systemUUID": name,
            },
        },
    }
