"""Nodes, and the namespaces beside them."""

from __future__ import annotations

import msgspec

from schema.printing.columns import UNKNOWN, Cell
from schema.printing.printer import AGE, NAME, NONE, Condition, Fields, Metadata, Printer, age, text, wide

ROLE_PREFIX = "node-role.kubernetes.io/"
ROLE_LABEL = "kubernetes.io/role"


class NodeMetadata(Metadata):
    labels: dict[str, str] | None = None


class NodeSpec(Fields):
    unschedulable: bool = False


class NodeInfo(Fields):
    kubelet_version: str = ""
    os_image: str = ""
    kernel_version: str = ""
    container_runtime_version: str = ""
    architecture: str = ""


class Address(Fields):
    type: str = ""
    address: str = ""


class NodeStatus(Fields):
    conditions: list[Condition] | None = None
    addresses: list[Address] | None = None
    node_info: NodeInfo = msgspec.field(default_factory=NodeInfo)


class Node(Fields):
    metadata: NodeMetadata = msgspec.field(default_factory=NodeMetadata)
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class NamespaceStatus(Fields):
    phase: str = ""


class Namespace(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)


def node_cells(node: Node) -> list[Cell]:
    info = node.status.node_info
    kernel = info.kernel_version or UNKNOWN
    if info.architecture:
        kernel += f" ({info.architecture})"
    return [
        node.metadata.name,
        _status(node),
        ",".join(_roles(node)) or NONE,
        age(node.metadata),
        info.kubelet_version,
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.os_image or UNKNOWN,
        kernel,
        info.container_runtime_version or UNKNOWN,
    ]


def _status(node: Node) -> str:
    ready = "Unknown"
    for condition in node.status.conditions or ():
        if condition.type == "Ready":
            ready = "Ready" if condition.status == "True" else "NotReady"
    return f"{ready},SchedulingDisabled" if node.spec.unschedulable else ready


def _roles(node: Node) -> list[str]:
    roles = set()
    for key, value in (node.metadata.labels or {}).items():
        if key.startswith(ROLE_PREFIX):
            roles.add(key.removeprefix(ROLE_PREFIX))
        elif key == ROLE_LABEL:
            roles.add(value)
    return sorted(roles - {""})


def _address(node: Node, type: str) -> str:
    return next((a.address for a in node.status.addresses or () if a.type == type), NONE)


def _node_fields(node: Node) -> list[str]:
    return [f"spec.unschedulable={'true' if node.spec.unschedulable else 'false'}"]


PRINTERS = (
    Printer(
        "",
        "nodes",
        Node,
        (
            NAME,
            text("Status"),
            text("Roles"),
            AGE,
            text("Version"),
            wide("Internal-IP"),
            wide("External-IP"),
            wide("OS-Image"),
            wide("Kernel-Version"),
            wide("Container-Runtime"),
        ),
        node_cells,
        status="Status",
        fields=_node_fields,
    ),
    Printer(
        "",
        "namespaces",
        Namespace,
        (NAME, text("Status"), AGE),
        lambda namespace: [namespace.metadata.name, namespace.status.phase, age(namespace.metadata)],
        status="Status",
        fields=lambda namespace: [f"status.phase={namespace.status.phase}"],
    ),
)
