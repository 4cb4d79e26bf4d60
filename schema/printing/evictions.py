"""Evictions and the requests for them (alpha: only where a member turned them on)."""

from __future__ import annotations

from typing import Final

import msgspec

from schema.printing.columns import UNKNOWN, Cell, Since
from schema.printing.printer import AGE, NAME, NONE, UNSET, Condition, Fields, Metadata, Printer, age, text, wide

PROCESSED: Final = ("Canceled", "Interrupted", "Completed")


class PodReference(Fields):
    name: str = ""


class Target(Fields):
    pod: PodReference | None = None


class RequestSpec(Fields):
    target: Target = msgspec.field(default_factory=Target)
    requester: str = ""
    intent: str = ""


class RequestStatus(Fields):
    observed_generation: int | None = None
    conditions: list[Condition] | None = None


class EvictionRequest(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: RequestSpec = msgspec.field(default_factory=RequestSpec)
    status: RequestStatus = msgspec.field(default_factory=RequestStatus)


class Requester(Fields):
    name: str = ""
    intent: str = ""


class TargetResponder(Fields):
    name: str = ""
    state: str = ""


class Responder(Fields):
    name: str = ""
    start_time: str | None = None
    heartbeat_time: str | None = None
    expected_completion_time: str | None = None
    completion_time: str | None = None
    message: str | None = None


class EvictionStatus(RequestStatus):
    requesters: list[Requester] | None = None
    target_responders: list[TargetResponder] | None = None
    responders: list[Responder] | None = None


class Eviction(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: RequestSpec = msgspec.field(default_factory=RequestSpec)
    status: EvictionStatus = msgspec.field(default_factory=EvictionStatus)


def request_cells(request: EvictionRequest) -> list[Cell]:
    spec = request.spec
    return [
        request.metadata.name,
        *_target(spec.target),
        _status(request.status),
        spec.requester,
        spec.intent,
        age(request.metadata),
    ]


def eviction_cells(eviction: Eviction) -> list[Cell]:
    status = eviction.status
    targets = status.target_responders or []
    started = [t for t in targets if t.state == "Active" or t.state in PROCESSED]
    active = [t for t in started if t.state == "Active"] or started
    current = active[-1] if active else None
    name = UNSET if current is None else current.name
    responder, expected, heartbeat, message = _responder(current, status.responders or [])
    return [
        eviction.metadata.name,
        *_target(eviction.spec.target),
        _status(status),
        f"{name} ({len(started)}/{len(targets)})",
        responder,
        expected,
        _requesters(status.requesters or []),
        age(eviction.metadata),
        heartbeat,
        message,
    ]


def _target(target: Target) -> list[Cell]:
    return [UNSET, UNSET] if target.pod is None else [target.pod.name, "Pod"]


def _status(status: RequestStatus) -> str:
    for wanted in ("TargetEvicted", "Failed"):
        for condition in status.conditions or ():
            if condition.type == wanted and condition.status == "True":
                return f"{wanted} ({condition.reason})"
    return "Progressing" if (status.observed_generation or 0) > 0 else "Pending"


def _responder(current: TargetResponder | None, responders: list[Responder]) -> tuple[Cell, Cell, Cell, Cell]:
    """Status, expected finish, heartbeat and message of the responder that is at work, or was last."""
    found = next((r for r in responders if current is not None and r.name == current.name), None)
    if current is None or found is None:
        return UNSET, UNKNOWN, UNSET, UNSET
    status: Cell = current.state
    expected: Cell = UNKNOWN
    if current.state == "Active" and found.start_time is not None:
        status = Since(found.start_time, "Started (%s ago)")
        if found.expected_completion_time is not None:
            expected = Since(found.expected_completion_time, "%s ago", "in %s")
    elif current.state in PROCESSED:
        expected = "-"
        if current.state == "Completed" and found.completion_time is not None:
            status = Since(found.completion_time, f"{current.state} (%s ago)")
    heartbeat: Cell = UNSET if found.heartbeat_time is None else Since(found.heartbeat_time, "%s ago")
    return status, expected, heartbeat, (found.message or "").strip() or UNSET


def _requesters(requesters: list[Requester]) -> str:
    names = sorted(requester.name for requester in requesters if requester.intent != "Withdrawn")
    if not names:
        return "<withdrawn>" if requesters else NONE
    return f"{names[0]} + {len(names) - 1} more..." if len(names) > 1 else names[0] or UNSET


GROUP = "lifecycle.k8s.io"

PRINTERS = (
    Printer(
        GROUP,
        "evictionrequests",
        EvictionRequest,
        (NAME, text("Target"), text("Target Type"), text("Status"), text("Requester"), text("Intent"), AGE),
        request_cells,
    ),
    Printer(
        GROUP,
        "evictions",
        Eviction,
        (
            NAME,
            text("Target"),
            text("Target Type"),
            text("Status"),
            text("Active Responder"),
            text("Responder Status"),
            text("Responder Expected Finish"),
            text("Requesters"),
            AGE,
            wide("Responder Heartbeat"),
            wide("Responder Status Message"),
        ),
        eviction_cells,
    ),
)
