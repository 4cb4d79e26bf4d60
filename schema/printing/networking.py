"""Ingresses, network policies, and the addresses of services."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import AGE, NAME, NONE, Annotated, Fields, Metadata, Printer, age, text
from schema.printing.selectors import LabelSelector, format_selector
from schema.printing.services import SHOWN, LoadBalancerStatus, load_balancer_addresses


class IngressRule(Fields):
    host: str = ""


class IngressSpec(Fields):
    ingress_class_name: str | None = None
    rules: list[IngressRule] | None = None
    tls: list[msgspec.Raw] | None = None


class Ingress(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: IngressSpec = msgspec.field(default_factory=IngressSpec)
    status: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)


class Parameters(Fields):
    api_group: str | None = None
    kind: str = ""
    name: str = ""


class IngressClassSpec(Fields):
    controller: str = ""
    parameters: Parameters | None = None


class IngressClass(Fields):
    metadata: Annotated = msgspec.field(default_factory=Annotated)
    spec: IngressClassSpec = msgspec.field(default_factory=IngressClassSpec)


class NetworkPolicySpec(Fields):
    pod_selector: LabelSelector | None = None


class NetworkPolicy(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: NetworkPolicySpec = msgspec.field(default_factory=NetworkPolicySpec)


class ServiceCIDRSpec(Fields):
    cidrs: list[str] | None = None


class ServiceCIDR(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: ServiceCIDRSpec = msgspec.field(default_factory=ServiceCIDRSpec)


class ParentReference(Fields):
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""


class IPAddressSpec(Fields):
    parent_ref: ParentReference | None = None


class IPAddress(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: IPAddressSpec = msgspec.field(default_factory=IPAddressSpec)


def ingress_cells(ingress: Ingress) -> list[Cell]:
    spec = ingress.spec
    return [
        ingress.metadata.name,
        NONE if spec.ingress_class_name is None else spec.ingress_class_name,
        _hosts(spec.rules or []),
        ",".join(load_balancer_addresses(ingress.status)),
        "80, 443" if spec.tls else "80",
        age(ingress.metadata),
    ]


def _hosts(rules: list[IngressRule]) -> str:
    """The first hosts; how many more is counted in rules, with a host or without, as the API server does."""
    hosts: list[str] = []
    more = False
    for rule in rules:
        more = more or len(hosts) == SHOWN
        if rule.host and not more:
            hosts.append(rule.host)
    if not hosts:
        return "*"
    return ",".join(hosts) + (f" + {len(rules) - SHOWN} more..." if more else "")


def ingress_class_cells(obj: IngressClass) -> list[Cell]:
    default = (obj.metadata.annotations or {}).get("ingressclass.kubernetes.io/is-default-class") == "true"
    parameters = NONE
    if (reference := obj.spec.parameters) is not None:
        group = "" if reference.api_group is None else f".{reference.api_group}"
        parameters = f"{reference.kind}{group}/{reference.name}"
    return [
        obj.metadata.name + (" (default)" if default else ""),
        obj.spec.controller,
        parameters,
        age(obj.metadata),
    ]


def ip_address_cells(obj: IPAddress) -> list[Cell]:
    parent = NONE
    if (reference := obj.spec.parent_ref) is not None:
        resource = f"{reference.resource}.{reference.group}" if reference.group else reference.resource
        namespace = f"/{reference.namespace}" if reference.namespace else ""
        parent = f"{resource.lower()}{namespace}/{reference.name}"
    # The API server gives an age, too, to which no column belongs.
    return [obj.metadata.name, parent, age(obj.metadata)]


GROUP = "networking.k8s.io"

PRINTERS = (
    Printer(
        GROUP,
        "ingresses",
        Ingress,
        (NAME, text("Class"), text("Hosts"), text("Address"), text("Ports"), AGE),
        ingress_cells,
    ),
    Printer(
        GROUP,
        "ingressclasses",
        IngressClass,
        (NAME, text("Controller"), text("Parameters"), AGE),
        ingress_class_cells,
    ),
    Printer(
        GROUP,
        "networkpolicies",
        NetworkPolicy,
        (NAME, text("Pod-Selector"), AGE),
        lambda obj: [obj.metadata.name, format_selector(obj.spec.pod_selector), age(obj.metadata)],
    ),
    Printer(
        GROUP,
        "servicecidrs",
        ServiceCIDR,
        (NAME, text("CIDRs"), AGE),
        lambda obj: [obj.metadata.name, ",".join(obj.spec.cidrs or ()), age(obj.metadata)],
    ),
    Printer(GROUP, "ipaddresses", IPAddress, (NAME, text("ParentRef")), ip_address_cells),
)
