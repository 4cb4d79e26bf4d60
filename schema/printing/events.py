"""Events, in both groups that serve them: the same objects, with other names for the fields."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell, Column, Since
from schema.printing.printer import Fields, Metadata, Printer, text, wide


class Reference(Fields):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class Source(Fields):
    component: str = ""
    host: str = ""


class Series(Fields):
    count: int = 0
    last_observed_time: str | None = None


class Event(Fields):
    """`reporting_controller` is `reportingComponent` in the core group's JSON."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    involved_object: Reference = msgspec.field(default_factory=Reference)
    type: str = ""
    reason: str = ""
    message: str = ""
    source: Source = msgspec.field(default_factory=Source)
    reporting_controller: str = msgspec.field(name="reportingComponent", default="")
    reporting_instance: str = ""
    first_timestamp: str | None = None
    last_timestamp: str | None = None
    event_time: str | None = None
    count: int = 0
    series: Series | None = None


class NewEvent(Fields):
    """As `events.k8s.io` writes it."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)
    regarding: Reference = msgspec.field(default_factory=Reference)
    type: str = ""
    reason: str = ""
    note: str = ""
    deprecated_source: Source = msgspec.field(default_factory=Source)
    reporting_controller: str = ""
    reporting_instance: str = ""
    deprecated_first_timestamp: str | None = None
    deprecated_last_timestamp: str | None = None
    event_time: str | None = None
    deprecated_count: int = 0
    series: Series | None = None


def event_cells(event: Event) -> list[Cell]:
    reference, source, series = event.involved_object, event.source, event.series
    first = event.first_timestamp or event.event_time or ""
    last = event.last_timestamp or first
    count = event.count or 1
    if series is not None:
        last, count = series.last_observed_time or "", series.count
    kind = reference.kind.lower()
    component = source.component or event.reporting_controller
    instance = source.host or event.reporting_instance
    return [
        Since(last),
        event.type,
        event.reason,
        f"{kind}/{reference.name}" if reference.name else kind,
        reference.field_path,
        f"{component}, {instance}" if instance else component,
        event.message.strip(),
        Since(first),
        count,
        event.metadata.name,
    ]


def new_event_cells(event: NewEvent) -> list[Cell]:
    return event_cells(
        Event(
            metadata=event.metadata,
            involved_object=event.regarding,
            type=event.type,
            reason=event.reason,
            message=event.note,
            source=event.deprecated_source,
            reporting_controller=event.reporting_controller,
            reporting_instance=event.reporting_instance,
            first_timestamp=event.deprecated_first_timestamp,
            last_timestamp=event.deprecated_last_timestamp,
            event_time=event.event_time,
            count=event.deprecated_count,
            series=event.series,
        )
    )


def _reference_fields(prefix: str, reference: Reference) -> list[str]:
    return [
        f"{prefix}.kind={reference.kind}",
        f"{prefix}.namespace={reference.namespace}",
        f"{prefix}.name={reference.name}",
        f"{prefix}.uid={reference.uid}",
        f"{prefix}.apiVersion={reference.api_version}",
        f"{prefix}.resourceVersion={reference.resource_version}",
        f"{prefix}.fieldPath={reference.field_path}",
    ]


def event_fields(event: Event) -> list[str]:
    return [
        *_reference_fields("involvedObject", event.involved_object),
        f"reason={event.reason}",
        f"reportingComponent={event.reporting_controller}",
        f"source={event.source.component or event.reporting_controller}",
        f"type={event.type}",
    ]


def new_event_fields(event: NewEvent) -> list[str]:
    return [
        *_reference_fields("regarding", event.regarding),
        f"reason={event.reason}",
        f"reportingController={event.reporting_controller}",
        f"type={event.type}",
    ]


COLUMNS = (
    text("Last Seen"),
    text("Type"),
    text("Reason"),
    text("Object"),
    wide("Subobject"),
    wide("Source"),
    text("Message"),
    wide("First Seen"),
    wide("Count"),
    Column("Name", format="name", priority=1),
)

PRINTERS = (
    Printer("", "events", Event, COLUMNS, event_cells, fields=event_fields),
    Printer("events.k8s.io", "events", NewEvent, COLUMNS, new_event_cells, fields=new_event_fields),
)
