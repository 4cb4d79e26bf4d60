"""Priority and runtime classes, and groups of pods that are scheduled together."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import (
    AGE,
    NAME,
    NONE,
    Condition,
    Fields,
    Metadata,
    Present,
    Printer,
    age,
    boolean,
    integer,
    text,
)


class PriorityClass(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    value: int = 0
    global_default: bool = False
    preemption_policy: str | None = None


class RuntimeClass(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    handler: str = ""


class SchedulingPolicy(Fields):
    gang: Present | None = None


class WorkloadReference(Fields):
    workload_name: str = ""


class PodGroupSpec(Fields):
    scheduling_policy: SchedulingPolicy = msgspec.field(default_factory=SchedulingPolicy)
    workload_ref: WorkloadReference | None = None


class PodGroupStatus(Fields):
    conditions: list[Condition] | None = None


class PodGroup(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PodGroupSpec = msgspec.field(default_factory=PodGroupSpec)
    status: PodGroupStatus = msgspec.field(default_factory=PodGroupStatus)


def priority_class_cells(obj: PriorityClass) -> list[Cell]:
    return [obj.metadata.name, obj.value, obj.global_default, age(obj.metadata), obj.preemption_policy or ""]


def pod_group_cells(group: PodGroup) -> list[Cell]:
    return [*_policy_and_workload(group), _group_status(group), age(group.metadata)]


def composite_pod_group_cells(group: PodGroup) -> list[Cell]:
    return [*_policy_and_workload(group), age(group.metadata)]


def _policy_and_workload(group: PodGroup) -> list[Cell]:
    spec = group.spec
    gang = spec.scheduling_policy.gang
    return [
        group.metadata.name,
        "Basic" if gang is None else "Gang",
        NONE if spec.workload_ref is None else spec.workload_ref.workload_name,
    ]


def _group_status(group: PodGroup) -> str:
    conditions = {condition.type: condition for condition in group.status.conditions or ()}
    if (disrupted := conditions.get("DisruptionTarget")) is not None:
        return disrupted.reason
    if (scheduled := conditions.get("PodGroupInitiallyScheduled")) is not None:
        return "Scheduled" if scheduled.status == "True" else "Unschedulable"
    return "Pending"


GROUP = "scheduling.k8s.io"

PRINTERS = (
    Printer(
        GROUP,
        "priorityclasses",
        PriorityClass,
        (NAME, integer("Value"), boolean("Global-Default"), AGE, text("PreemptionPolicy")),
        priority_class_cells,
    ),
    Printer(
        "node.k8s.io",
        "runtimeclasses",
        RuntimeClass,
        (NAME, text("Handler"), AGE),
        lambda obj: [obj.metadata.name, obj.handler, age(obj.metadata)],
    ),
    Printer(
        GROUP,
        "podgroups",
        PodGroup,
        (NAME, text("Policy"), text("Workload"), text("Status"), AGE),
        pod_group_cells,
        status="Status",
    ),
    Printer(
        GROUP,
        "compositepodgroups",
        PodGroup,
        (NAME, text("Policy"), text("Workload"), AGE),
        composite_pod_group_cells,
    ),
)
