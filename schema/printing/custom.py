"""Custom resources: the printer columns of their CRD, each cell found by JSONPath."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from schema.jsonpath import JSONPath, JSONPathError, go_text
from schema.printing.columns import INVALID, Cell, Column, Since, unix_time
from schema.printing.descriptions import DESCRIPTIONS
from schema.resource import PrinterColumn

AGE_ONLY: Final = (PrinterColumn(name="Age", type="date", path=".metadata.creationTimestamp"),)
"""What the API server assumes where a CRD names no columns."""

_RFC3339: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)


class CustomPrinter:
    """Prints the objects of one version of a CRD.

    As in the API server, a column whose JSONPath cannot be parsed ends the Table: it and all after it are left off."""

    def __init__(self, printer_columns: Sequence[PrinterColumn]) -> None:
        common = DESCRIPTIONS["*"]
        columns = [Column("Name", format="name", description=common.get("Name", ""))]
        self._paths: list[tuple[str, JSONPath]] = []
        for wanted in printer_columns or AGE_ONLY:
            try:
                path = JSONPath(wanted.path)
            except JSONPathError:
                break
            self._paths.append((wanted.type, path))
            description = wanted.description or (
                f"Custom resource definition column (in JSONPath format): {wanted.path}"
                if printer_columns
                else common.get("Age", "")
            )
            columns.append(Column(wanted.name, wanted.type, wanted.format, description, wanted.priority))
        self.columns = tuple(columns)

    def cells(self, obj: dict[str, Any] | bytes) -> list[Cell]:
        if isinstance(obj, bytes):
            obj = decode_object(obj)
        name = (obj.get("metadata") or {}).get("name", "")
        return [name, *(_cell(type, path, obj) for type, path in self._paths)]


def _cell(type: str, path: JSONPath, obj: dict[str, Any]) -> Cell:
    try:
        found = path.find(obj)
    except JSONPathError:
        return None
    if not found:
        return None
    return go_text(found[0]) if type == "string" else _typed(type, found[0])


def _typed(type: str, value: Any) -> Cell:
    """The value as the column's type wants it; None where it is of another one."""
    match type, value:
        case ("boolean", bool()):
            return value
        case ("integer" | "number", bool()):
            return None
        case ("integer", int() | float()):
            return int(value)
        case ("number", int() | float()):
            # A whole number has no fraction in the server's JSON.
            return int(value) if float(value).is_integer() and abs(value) < 2**53 else float(value)
        case ("date", str()):
            return _date(value)
    return None


def _date(value: str) -> Cell:
    if value in ("", "null"):
        return Since("")
    if not _RFC3339.fullmatch(value):
        return INVALID
    try:
        unix_time(value)
    except ValueError:
        return INVALID
    return Since(value)


decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode
