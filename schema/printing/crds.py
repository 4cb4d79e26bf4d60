"""The definitions of custom resources themselves; their objects are in custom.py."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell, Column
from schema.printing.printer import (
    CREATED_AT,
    NAME,
    Condition,
    Fields,
    Metadata,
    Printer,
    created,
    text,
    true_condition,
    wide,
)


class Version(Fields):
    name: str = ""
    served: bool = False
    storage: bool = False


class Names(Fields):
    kind: str = ""
    short_names: list[str] | None = None


class DefinitionSpec(Fields):
    group: str = ""
    scope: str = ""
    names: Names = msgspec.field(default_factory=Names)
    versions: list[Version] | None = None


class DefinitionStatus(Fields):
    conditions: list[Condition] | None = None


class CustomResourceDefinition(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: DefinitionSpec = msgspec.field(default_factory=DefinitionSpec)
    status: DefinitionStatus = msgspec.field(default_factory=DefinitionStatus)


def definition_cells(obj: CustomResourceDefinition) -> list[Cell]:
    spec = obj.spec
    versions = sorted(f"{v.name}(storage)" if v.storage else v.name for v in spec.versions or () if v.served)
    return [
        obj.metadata.name,
        spec.scope,
        ",".join(versions),
        created(obj.metadata),
        spec.group,
        spec.names.kind,
        ",".join(spec.names.short_names or ()),
        true_condition(obj.status.conditions, "Established"),
    ]


PRINTERS = (
    Printer(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        CustomResourceDefinition,
        (
            NAME,
            text("Scope"),
            text("Versions"),
            CREATED_AT,
            wide("Group"),
            wide("Kind"),
            wide("ShortNames"),
            Column("Established", "boolean", priority=1),
        ),
        definition_cells,
    ),
)
