"""Horizontal pod autoscalers (v2) and disruption budgets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from schema.printing.columns import UNKNOWN, Cell
from schema.printing.printer import AGE, NAME, NONE, UNSET, Fields, Metadata, Printer, age, integer, text

SHOWN: Final = 2
NIL: Final = "<nil>"


class Amount(Fields):
    """A metric's target, or its current value."""

    value: str | None = None
    average_value: str | None = None
    average_utilization: int | None = None


class Source(Fields):
    """What is measured: a spec has a target, a status a current value; the name is that of a resource."""

    name: str = ""
    target: Amount = msgspec.field(default_factory=Amount)
    current: Amount = msgspec.field(default_factory=Amount)


class Metric(Fields):
    type: str = ""
    resource: Source | None = None
    container_resource: Source | None = None
    pods: Source | None = None
    object: Source | None = None
    external: Source | None = None


class ScaleTarget(Fields):
    kind: str = ""
    name: str = ""


class AutoscalerSpec(Fields):
    scale_target_ref: ScaleTarget = msgspec.field(default_factory=ScaleTarget)
    min_replicas: int | None = None
    max_replicas: int = 0
    metrics: list[Metric] | None = None


class AutoscalerStatus(Fields):
    current_replicas: int = 0
    current_metrics: list[Metric] | None = None


class HorizontalPodAutoscaler(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: AutoscalerSpec = msgspec.field(default_factory=AutoscalerSpec)
    status: AutoscalerStatus = msgspec.field(default_factory=AutoscalerStatus)


class BudgetSpec(Fields):
    min_available: int | str | None = None
    max_unavailable: int | str | None = None


class BudgetStatus(Fields):
    disruptions_allowed: int = 0


class PodDisruptionBudget(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: BudgetSpec = msgspec.field(default_factory=BudgetSpec)
    status: BudgetStatus = msgspec.field(default_factory=BudgetStatus)


def autoscaler_cells(obj: HorizontalPodAutoscaler) -> list[Cell]:
    spec = obj.spec
    return [
        obj.metadata.name,
        f"{spec.scale_target_ref.kind}/{spec.scale_target_ref.name}",
        _metrics(spec.metrics or [], obj.status.current_metrics or []),
        UNSET if spec.min_replicas is None else str(spec.min_replicas),
        spec.max_replicas,
        obj.status.current_replicas,
        age(obj.metadata),
    ]


def _metrics(specs: list[Metric], statuses: list[Metric]) -> str:
    if not specs:
        return NONE
    texts = [
        _metric(spec, statuses[position] if position < len(statuses) else Metric())
        for position, spec in enumerate(specs)
    ]
    shown = ", ".join(texts[:SHOWN])
    return f"{shown} + {len(texts) - SHOWN} more..." if len(texts) > SHOWN else shown


def _metric(spec: Metric, status: Metric) -> str:
    match spec.type:
        case "External":
            return _value(spec.external, status.external)
        case "Object":
            return _value(spec.object, status.object)
        case "Pods":
            target = (spec.pods or Source()).target
            return f"{_current(status.pods, _average)}/{_quantity(target.average_value)}"
        case "Resource":
            return _resource(spec.resource, status.resource)
        case "ContainerResource":
            return _resource(spec.container_resource, status.container_resource)
    return "<unknown type>"


def _value(spec: Source | None, status: Source | None) -> str:
    target = (spec or Source()).target
    if target.average_value is not None:
        current = None if status is None else status.current.average_value
        return f"{UNKNOWN if current is None else current}/{target.average_value} (avg)"
    return f"{_current(status, lambda amount: _quantity(amount.value))}/{_quantity(target.value)}"


def _resource(spec: Source | None, status: Source | None) -> str:
    spec = spec or Source()
    if spec.target.average_value is not None:
        return f"{spec.name}: {_current(status, _average)}/{spec.target.average_value}"
    used = None if status is None else status.current.average_utilization
    wanted = spec.target.average_utilization
    return f"{spec.name}: {_percent(used, UNKNOWN)}/{_percent(wanted, '<auto>')}"


def _current(status: Source | None, text_of: Callable[[Amount], str]) -> str:
    return UNKNOWN if status is None else text_of(status.current)


def _average(amount: Amount) -> str:
    return _quantity(amount.average_value)


def _quantity(value: str | None) -> str:
    return NIL if value is None else value


def _percent(value: int | None, otherwise: str) -> str:
    return otherwise if value is None else f"{value}%"


def budget_cells(budget: PodDisruptionBudget) -> list[Cell]:
    spec = budget.spec
    return [
        budget.metadata.name,
        "N/A" if spec.min_available is None else str(spec.min_available),
        "N/A" if spec.max_unavailable is None else str(spec.max_unavailable),
        budget.status.disruptions_allowed,
        age(budget.metadata),
    ]


PRINTERS = (
    Printer(
        "autoscaling",
        "horizontalpodautoscalers",
        HorizontalPodAutoscaler,
        (
            NAME,
            text("Reference"),
            text("Targets"),
            text("MinPods"),
            text("MaxPods"),
            text("Replicas"),
            AGE,
        ),
        autoscaler_cells,
    ),
    Printer(
        "policy",
        "poddisruptionbudgets",
        PodDisruptionBudget,
        (NAME, text("Min Available"), text("Max Unavailable"), integer("Allowed Disruptions"), AGE),
        budget_cells,
    ),
)
