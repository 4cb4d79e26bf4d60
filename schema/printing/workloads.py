"""What keeps pods running: deployments, replica sets, stateful sets, daemon sets, and their templates and revisions."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import AGE, NAME, NONE, Fields, Metadata, OwnerReference, Printer, age, integer, text, wide
from schema.printing.selectors import LabelSelector, format_labels, format_selector, selector_text

READY, NOT_READY = "Ready", "NotReady"


class Container(Fields):
    name: str = ""
    image: str = ""


class TemplateSpec(Fields):
    containers: list[Container] | None = None
    node_selector: dict[str, str] | None = None


class TemplateMetadata(Fields):
    labels: dict[str, str] | None = None


class PodTemplate(Fields):
    metadata: TemplateMetadata = msgspec.field(default_factory=TemplateMetadata)
    spec: TemplateSpec = msgspec.field(default_factory=TemplateSpec)


class WorkloadSpec(Fields):
    replicas: int | None = None
    selector: LabelSelector | None = None
    template: PodTemplate = msgspec.field(default_factory=PodTemplate)


class WorkloadStatus(Fields):
    """The counters of all kinds together: each kind fills its own."""

    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    number_ready: int = 0
    updated_number_scheduled: int = 0
    number_available: int = 0


class Workload(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    status: WorkloadStatus = msgspec.field(default_factory=WorkloadStatus)

    @property
    def desired(self) -> int:
        return 1 if self.spec.replicas is None else self.spec.replicas


class ControllerSpec(Fields):
    replicas: int | None = None
    selector: dict[str, str] | None = None
    template: PodTemplate | None = None


class ReplicationController(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: ControllerSpec = msgspec.field(default_factory=ControllerSpec)
    status: WorkloadStatus = msgspec.field(default_factory=WorkloadStatus)


class OwnedMetadata(Metadata):
    owner_references: list[OwnerReference] | None = None


class ControllerRevision(Fields):
    metadata: OwnedMetadata = msgspec.field(default_factory=OwnedMetadata)
    revision: int = 0


class NamedTemplate(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    template: PodTemplate = msgspec.field(default_factory=PodTemplate)


def container_cells(template: PodTemplate | None) -> list[Cell]:
    """Names and images, two cells."""
    containers = (template.spec.containers if template else None) or ()
    return [",".join(c.name for c in containers), ",".join(c.image for c in containers)]


def deployment_cells(obj: Workload) -> list[Cell]:
    try:
        selector = selector_text(obj.spec.selector)
    except ValueError:
        selector = "<invalid>"
    return [
        obj.metadata.name,
        f"{obj.status.ready_replicas}/{obj.desired}",
        obj.status.updated_replicas,
        obj.status.available_replicas,
        age(obj.metadata),
        *container_cells(obj.spec.template),
        selector,
    ]


def replica_set_cells(obj: Workload) -> list[Cell]:
    return [
        obj.metadata.name,
        obj.desired,
        obj.status.replicas,
        obj.status.ready_replicas,
        age(obj.metadata),
        *container_cells(obj.spec.template),
        format_selector(obj.spec.selector),
    ]


def replication_controller_cells(obj: ReplicationController) -> list[Cell]:
    return [
        obj.metadata.name,
        obj.spec.replicas or 0,
        obj.status.replicas,
        obj.status.ready_replicas,
        age(obj.metadata),
        *container_cells(obj.spec.template),
        format_labels(obj.spec.selector),
    ]


def stateful_set_cells(obj: Workload) -> list[Cell]:
    return [
        obj.metadata.name,
        f"{obj.status.ready_replicas}/{obj.desired}",
        age(obj.metadata),
        *container_cells(obj.spec.template),
    ]


def daemon_set_cells(obj: Workload) -> list[Cell]:
    status = obj.status
    return [
        obj.metadata.name,
        status.desired_number_scheduled,
        status.current_number_scheduled,
        status.number_ready,
        status.updated_number_scheduled,
        status.number_available,
        format_labels(obj.spec.template.spec.node_selector),
        age(obj.metadata),
        *container_cells(obj.spec.template),
        format_selector(obj.spec.selector),
    ]


def controller_revision_cells(obj: ControllerRevision) -> list[Cell]:
    controller = NONE
    for owner in obj.metadata.owner_references or ():
        if owner.controller:
            group = owner.api_version.rpartition("/")[0]
            kind = f"{owner.kind}.{group}" if group else owner.kind
            controller = f"{kind.lower()}/{owner.name}" if kind else owner.name
            break
    return [obj.metadata.name, controller, obj.revision, age(obj.metadata)]


def pod_template_cells(obj: NamedTemplate) -> list[Cell]:
    return [obj.metadata.name, *container_cells(obj.template), format_labels(obj.template.metadata.labels)]


def _ready(obj: Workload) -> str:
    return READY if obj.status.ready_replicas >= obj.desired else NOT_READY


def _controller_ready(obj: ReplicationController) -> str:
    return READY if obj.status.ready_replicas >= (obj.spec.replicas or 0) else NOT_READY


def _daemon_set_ready(obj: Workload) -> str:
    return READY if obj.status.number_ready >= obj.status.desired_number_scheduled else NOT_READY


def _replicas(obj: ReplicationController) -> list[str]:
    return [f"status.replicas={obj.status.replicas}"]


TEMPLATE = (wide("Containers"), wide("Images"))
REPLICAS = (NAME, integer("Desired"), integer("Current"), integer("Ready"), AGE, *TEMPLATE, wide("Selector"))

PRINTERS = (
    Printer(
        "apps",
        "deployments",
        Workload,
        (NAME, text("Ready"), text("Up-to-date"), text("Available"), AGE, *TEMPLATE, wide("Selector")),
        deployment_cells,
        status=_ready,
    ),
    Printer("apps", "replicasets", Workload, REPLICAS, replica_set_cells, _ready),
    Printer("apps", "statefulsets", Workload, (NAME, text("Ready"), AGE, *TEMPLATE), stateful_set_cells, _ready),
    Printer(
        "apps",
        "daemonsets",
        Workload,
        (
            NAME,
            integer("Desired"),
            integer("Current"),
            integer("Ready"),
            integer("Up-to-date"),
            integer("Available"),
            text("Node Selector"),
            AGE,
            *TEMPLATE,
            wide("Selector"),
        ),
        daemon_set_cells,
        status=_daemon_set_ready,
    ),
    Printer(
        "",
        "replicationcontrollers",
        ReplicationController,
        REPLICAS,
        replication_controller_cells,
        _controller_ready,
        _replicas,
    ),
    Printer(
        "apps",
        "controllerrevisions",
        ControllerRevision,
        (NAME, text("Controller"), text("Revision"), AGE),
        controller_revision_cells,
    ),
    Printer(
        "",
        "podtemplates",
        NamedTemplate,
        (NAME, text("Containers"), text("Images"), text("Pod Labels")),
        pod_template_cells,
    ),
)
