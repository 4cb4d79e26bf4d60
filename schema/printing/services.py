"""Services and what is behind them: endpoints and endpoint slices."""

from __future__ import annotations

import msgspec

from schema.printing.columns import UNKNOWN, Cell
from schema.printing.printer import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Fields,
    Metadata,
    Printer,
    age,
    first_few,
    text,
    wide,
)
from schema.printing.selectors import format_labels

SHOWN = 3


class ServicePort(Fields):
    port: int = 0
    node_port: int = 0
    protocol: str = ""


class ServiceSpec(Fields):
    type: str = ""
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    external_ips: list[str] | None = msgspec.field(name="externalIPs", default=None)
    external_name: str = ""
    ports: list[ServicePort] | None = None
    selector: dict[str, str] | None = None


class Ingress(Fields):
    """A point of entry of a load balancer."""

    ip: str = ""
    hostname: str = ""


class LoadBalancer(Fields):
    ingress: list[Ingress] | None = None


class LoadBalancerStatus(Fields):
    load_balancer: LoadBalancer = msgspec.field(default_factory=LoadBalancer)


class Service(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)
    status: LoadBalancerStatus = msgspec.field(default_factory=LoadBalancerStatus)


class EndpointAddress(Fields):
    ip: str = ""


class EndpointPort(Fields):
    name: str | None = None
    port: int | None = None


class Subset(Fields):
    addresses: list[EndpointAddress] | None = None
    ports: list[EndpointPort] | None = None


class Endpoints(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    subsets: list[Subset] | None = None


class Endpoint(Fields):
    addresses: list[str] | None = None


class EndpointSlice(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    address_type: str = ""
    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


def service_cells(service: Service) -> list[Cell]:
    spec = service.spec
    cluster_ips = spec.cluster_ips or [spec.cluster_ip]
    return [
        service.metadata.name,
        spec.type,
        cluster_ips[0] or NONE,
        _external(service),
        ",".join(_port(port) for port in spec.ports or ()) or NONE,
        age(service.metadata),
        format_labels(spec.selector),
    ]


def load_balancer_addresses(status: LoadBalancerStatus) -> list[str]:
    return sorted({entry.ip or entry.hostname for entry in status.load_balancer.ingress or ()} - {""})


def _external(service: Service) -> str:
    spec = service.spec
    match spec.type:
        case "ClusterIP" | "NodePort":
            return ",".join(spec.external_ips or ()) or NONE
        case "LoadBalancer":
            return ",".join([*load_balancer_addresses(service.status), *(spec.external_ips or ())]) or "<pending>"
        case "ExternalName":
            return spec.external_name
    return UNKNOWN


def _port(port: ServicePort) -> str:
    number = f"{port.port}:{port.node_port}" if port.node_port > 0 else str(port.port)
    return f"{number}/{port.protocol}"


def endpoints_cells(endpoints: Endpoints) -> list[Cell]:
    if not endpoints.subsets:
        return [endpoints.metadata.name, NONE, age(endpoints.metadata)]
    addresses: list[str] = []
    for subset in endpoints.subsets:
        ips = [address.ip for address in subset.addresses or ()]
        if subset.ports:
            addresses += [_host_port(ip, port.port or 0) for port in subset.ports for ip in ips]
        else:
            addresses += ips
    return [endpoints.metadata.name, first_few(addresses, SHOWN), age(endpoints.metadata)]


def _host_port(ip: str, port: int) -> str:
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def endpoint_slice_cells(slice: EndpointSlice) -> list[Cell]:
    ports = [_slice_port(port) for port in slice.ports or ()]
    addresses = [address for endpoint in slice.endpoints or () for address in endpoint.addresses or ()]
    return [
        slice.metadata.name,
        slice.address_type,
        first_few(ports, SHOWN) or UNSET,
        first_few(addresses, SHOWN) or UNSET,
        age(slice.metadata),
    ]


def _slice_port(port: EndpointPort) -> str:
    if port.port is not None:
        return str(port.port)
    return "*" if port.name is None else port.name


PRINTERS = (
    Printer(
        "",
        "services",
        Service,
        (
            NAME,
            text("Type"),
            text("Cluster-IP"),
            text("External-IP"),
            text("Port(s)"),
            AGE,
            wide("Selector"),
        ),
        service_cells,
        fields=lambda service: [f"spec.clusterIP={service.spec.cluster_ip}", f"spec.type={service.spec.type}"],
    ),
    Printer("", "endpoints", Endpoints, (NAME, text("Endpoints"), AGE), endpoints_cells),
    Printer(
        "discovery.k8s.io",
        "endpointslices",
        EndpointSlice,
        (NAME, text("AddressType"), text("Ports"), text("Endpoints"), AGE),
        endpoint_slice_cells,
    ),
)
