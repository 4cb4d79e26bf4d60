"""Nodes (ready, not ready, cordoned) and namespaces."""

from __future__ import annotations

from ..template import Template
from .common import Body, document

VALUES = ("created", "changed", "ip", "heartbeat", "pool", "cidr")
READY, NOT_READY, CORDONED = "Ready", "NotReady", "Cordoned"
ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")


def _condition(kind: str, status: str, reason: str, message: str) -> Body:
    return {
        "type": kind,
        "status": status,
        "lastHeartbeatTime": "@heartbeat@",
        "lastTransitionTime": "@changed@",
        "reason": reason,
        "message": message,
    }


def node_template(state: str, zone: int) -> Template:
    """A worker of 16 CPUs; `zone` is an index of ZONES."""
    ready = state != NOT_READY
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": "@name@",
        "kubernetes.io/os": "linux",
        "node.kubernetes.io/instance-type": "m7.4xlarge",
        "topology.kubernetes.io/region": "eu-west-1",
        "topology.kubernetes.io/zone": ZONES[zone],
    }
    taints: list[Body] = []
    if state == NOT_READY:
        taints = [
            {
                "key": "node.kubernetes.io/unreachable",
                "effect": effect,
                "timeAdded": "@changed@",
            }
            for effect in ("NoSchedule", "NoExecute")
        ]
    if state == CORDONED:
        taints = [
            {
                "key": "node.kubernetes.io/unschedulable",
                "effect": "NoSchedule",
                "timeAdded": "@changed@",
            }
        ]
    spec: Body = {
        "podCIDR": "@cidr@",
        "podCIDRs": ["@cidr@"],
        "providerID": f"sim:///{ZONES[zone]}/@name@",
    }
    if taints:
        spec["taints"] = taints
    if state == CORDONED:
        spec["unschedulable"] = True
    unknown = ("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")
    conditions = [
        _condition(kind, *(("False", reason, message) if ready else unknown))
        for kind, reason, message in (
            ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
            ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
            ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        )
    ]
    good = ("True", "KubeletReady", "kubelet is posting ready status")
    conditions.append(_condition("Ready", *(good if ready else unknown)))
    status = {
        "capacity": {
            "cpu": "16",
            "ephemeral-storage": "209702892Ki",
            "memory": "65331272Ki",
            "pods": "110",
        },
        "allocatable": {
            "cpu": "15890m",
            "ephemeral-storage": "193262184948",
            "memory": "61830216Ki",
            "pods": "110",
        },
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": "@ip@"},
            {"type": "Hostname", "address": "@name@"},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": "ec2@pool@",
            "systemUUID": "@uid@",
            "bootID": "@uid@",
            "kernelVersion": "6.12.41",
            "osImage": "Debian GNU/Linux 13 (trixie)",
            "containerRuntimeVersion": "containerd://2.2.1",
            "kubeletVersion": "v1.37.2",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
        "images": [
            {
                "names": [f"registry.example.io/library/image-{number}:v1.{number}.0"],
                "sizeBytes": 48213377 + number * 77713,
            }
            for number in range(12)
        ],
    }
    body = document(
        "v1",
        {"spec": spec, "status": status},
        namespaced=False,
        labels=labels,
        annotations={
            "node.alpha.kubernetes.io/ttl": "0",
            "volumes.kubernetes.io/controller-managed-attach-detach": "true",
        },
        manager="kubelet",
        status_manager="kubelet",
        status_time="@heartbeat@",
    )
    return Template(
        ("node", state, zone),
        body,
        VALUES,
        {"spec.unschedulable": "true" if state == CORDONED else "false"},
    )


def namespace_template(name: str, env: str) -> Template:
    labels = {"kubernetes.io/metadata.name": name}
    if env:
        labels = {"env": env, **labels, "team": name.partition("-")[0]}
    body = document(
        "v1",
        {"spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}},
        namespaced=False,
        labels=labels,
        manager="kube-apiserver",
    )
    return Template(("namespace", name, env), body, ("created",), {"status.phase": "Active"})
