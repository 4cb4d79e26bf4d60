"""API priority and fairness."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import AGE, NAME, NONE, Condition, Fields, Metadata, Printer, age, text


class Reference(Fields):
    name: str = ""


class Distinguisher(Fields):
    type: str = ""


class FlowSchemaSpec(Fields):
    priority_level_configuration: Reference = msgspec.field(default_factory=Reference)
    matching_precedence: int = 0
    distinguisher_method: Distinguisher | None = None


class FlowSchemaStatus(Fields):
    conditions: list[Condition] | None = None


class FlowSchema(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: FlowSchemaSpec = msgspec.field(default_factory=FlowSchemaSpec)
    status: FlowSchemaStatus = msgspec.field(default_factory=FlowSchemaStatus)


class Queuing(Fields):
    queues: int = 0
    hand_size: int = 0
    queue_length_limit: int = 0


class LimitResponse(Fields):
    queuing: Queuing | None = None


class Limited(Fields):
    nominal_concurrency_shares: int | None = None
    limit_response: LimitResponse = msgspec.field(default_factory=LimitResponse)


class PriorityLevelSpec(Fields):
    type: str = ""
    limited: Limited | None = None


class PriorityLevelConfiguration(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PriorityLevelSpec = msgspec.field(default_factory=PriorityLevelSpec)


def flow_schema_cells(obj: FlowSchema) -> list[Cell]:
    spec = obj.spec
    dangling = (c.status for c in obj.status.conditions or () if c.type == "Dangling")
    return [
        obj.metadata.name,
        spec.priority_level_configuration.name,
        spec.matching_precedence,
        NONE if spec.distinguisher_method is None else spec.distinguisher_method.type,
        age(obj.metadata),
        next(dangling, "?"),
    ]


def priority_level_cells(obj: PriorityLevelConfiguration) -> list[Cell]:
    shares: Cell = NONE
    queues: list[Cell] = [NONE, NONE, NONE]
    if (limited := obj.spec.limited) is not None:
        shares = limited.nominal_concurrency_shares or 0
        if (queuing := limited.limit_response.queuing) is not None:
            queues = [queuing.queues, queuing.hand_size, queuing.queue_length_limit]
    return [obj.metadata.name, obj.spec.type, shares, *queues, age(obj.metadata)]


GROUP = "flowcontrol.apiserver.k8s.io"

PRINTERS = (
    Printer(
        GROUP,
        "flowschemas",
        FlowSchema,
        (
            NAME,
            text("PriorityLevel"),
            text("MatchingPrecedence"),
            text("DistinguisherMethod"),
            AGE,
            text("MissingPL"),
        ),
        flow_schema_cells,
    ),
    Printer(
        GROUP,
        "prioritylevelconfigurations",
        PriorityLevelConfiguration,
        (
            NAME,
            text("Type"),
            text("NominalConcurrencyShares"),
            text("Queues"),
            text("HandSize"),
            text("QueueLengthLimit"),
            AGE,
        ),
        priority_level_cells,
    ),
)
