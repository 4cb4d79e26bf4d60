"""What every built-in printer is made of: the columns of a type, the fields it reads, and how these become cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

import msgspec

from schema.printing.columns import Cell, Column, Since
from schema.printing.descriptions import DESCRIPTIONS

NONE: Final = "<none>"
UNSET: Final = "<unset>"


class Fields(msgspec.Struct, rename="camel", gc=False):
    """Base of the partial views of Kubernetes types that the printers decode: only what is printed is named.

    Go writes an unset slice, map, pointer or time as null, so those are optional here; scalars never are null."""


class Present(Fields):
    """Any object: only that it is there counts."""


class OwnerReference(Fields):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(Fields):
    name: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None


class Annotated(Metadata):
    annotations: dict[str, str] | None = None


class Condition(Fields):
    type: str = ""
    status: str = ""
    reason: str = ""


class Object(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)


Shape = TypeVar("Shape")


class Printer(Generic[Shape]):
    """Prints one built-in type.

    `status` and `fields` go beyond the Table: the word that tells how the object is (or the column that has it), and
    the `path=value` pairs of the field-selector paths that Kubernetes supports for the type."""

    def __init__(
        self,
        group: str,
        resource: str,
        shape: type[Shape],
        columns: tuple[Column, ...],
        cells: Callable[[Shape], list[Cell]],
        status: str | Callable[[Shape], str] = "",
        fields: Callable[[Shape], list[str]] | None = None,
    ) -> None:
        self.group = group
        self.resource = resource
        self.shape = shape
        self.columns = _described(resource, group, columns)
        self.decode: Callable[[bytes], Shape] = msgspec.json.Decoder(shape).decode
        self.print = cells
        self.fields = fields
        self._status = status if callable(status) else None
        self._status_column = -1
        if isinstance(status, str) and status:
            self._status_column = [column.name for column in columns].index(status)

    def cells(self, obj: Shape | dict[str, Any] | bytes) -> list[Cell]:
        """Cells in the order of `columns`. Raises msgspec.ValidationError where a field has another type than the
        Kubernetes API gives it."""
        if isinstance(obj, bytes):
            return self.print(self.decode(obj))
        if isinstance(obj, dict):
            return self.print(msgspec.convert(obj, self.shape))
        return self.print(obj)

    def status(self, obj: Shape, cells: list[Cell]) -> str:
        """`cells` are those of `obj`."""
        if self._status_column >= 0:
            return str(cells[self._status_column])
        return self._status(obj) if self._status else ""


def _described(resource: str, group: str, columns: tuple[Column, ...]) -> tuple[Column, ...]:
    texts = DESCRIPTIONS.get(f"{resource}.{group}" if group else resource, {})
    common = DESCRIPTIONS["*"]
    return tuple(
        msgspec.structs.replace(column, description=texts.get(column.name, common.get(column.name, "")))
        for column in columns
    )


NAME: Final = Column("Name", format="name")
AGE: Final = Column("Age")
CREATED_AT: Final = Column("Created At", "date")


def text(name: str) -> Column:
    return Column(name)


def wide(name: str) -> Column:
    return Column(name, priority=1)


def integer(name: str) -> Column:
    return Column(name, "integer")


def boolean(name: str) -> Column:
    return Column(name, "boolean")


def age(metadata: Metadata) -> Since:
    return Since(metadata.creation_timestamp or "")


def created(metadata: Metadata) -> str:
    """For a column of type date, which is not relative to now: the time itself, or Go's zero."""
    return metadata.creation_timestamp or "0001-01-01T00:00:00Z"


def true_condition(conditions: list[Condition] | None, type: str) -> bool:
    return any(condition.type == type and condition.status == "True" for condition in conditions or ())


def first_few(items: list[str], limit: int) -> str:
    """At most `limit` items and how many more there are."""
    shown = ",".join(items[:limit])
    return f"{shown} + {len(items) - limit} more..." if len(items) > limit else shown
