"""What the index keeps of an object beside its bytes: Table cells, a status word, and its selectable fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from schema.fields import SelectableFields
from schema.printing import GENERIC, Cell, Column, Printer, printer_for
from schema.printing.custom import CustomPrinter, decode_object
from schema.resource import PrinterColumn

SHAPE_VERSION: Final = 1
"""Raised whenever cells, status or fields of any type change their meaning, so that stored ones are made anew."""


class Summary(NamedTuple):
    """`status` is one word as kubectl shows it, empty where the type has none. `fields` are `path=value`, without
    metadata.name and metadata.namespace, and hold every path that Kubernetes supports for the type."""

    cells: list[Cell]
    status: str
    fields: list[str]


Summariser = Callable[[bytes], Summary]


def columns_for(
    group: str, resource: str, printer_columns: Sequence[PrinterColumn] | None = None
) -> tuple[Column, ...]:
    """The columns that the cells of `summariser`, called with the same arguments, belong to."""
    if printer_columns is not None:
        return CustomPrinter(printer_columns).columns
    return (printer_for(group, resource) or GENERIC).columns


def summariser(
    group: str,
    resource: str,
    kind: str,
    printer_columns: Sequence[PrinterColumn] | None = None,
    selectable_fields: Sequence[str] = (),
) -> Summariser:
    """Prepare a function from an object's whole JSON to its summary; all that can be prepared once is prepared here.

    `printer_columns` is None for built-in types. The function raises msgspec.DecodeError for what is not JSON and
    msgspec.ValidationError where a field has another type than the Kubernetes API gives it; the message names it."""
    if printer_columns is not None or selectable_fields:
        return _custom(kind, printer_columns or (), tuple(selectable_fields))
    return _built_in(kind, printer_for(group, resource) or GENERIC)


def _built_in(kind: str, printer: Printer[Any]) -> Summariser:
    print_cells, status, fields = printer.print, printer.status, printer.fields
    decode = _forgiving(kind, printer.decode)

    def summarise(body: bytes) -> Summary:
        obj = decode(body)
        cells = print_cells(obj)
        return Summary(cells, status(obj, cells), fields(obj) if fields else [])

    return summarise


def _custom(kind: str, printer_columns: Sequence[PrinterColumn], selectable_fields: tuple[str, ...]) -> Summariser:
    printer = CustomPrinter(printer_columns)
    fields = SelectableFields(selectable_fields)
    decode = _forgiving(kind, decode_object)

    def summarise(body: bytes) -> Summary:
        obj = decode(body)
        return Summary(printer.cells(obj), "", fields.of(obj))

    return summarise


Decoded = TypeVar("Decoded")


def _forgiving(kind: str, decode: Callable[[bytes], Decoded]) -> Callable[[bytes], Decoded]:
    """Decodes also what holds lone surrogates or bytes that are not UTF-8: U+FFFD stands for them."""

    def decode_anyway(body: bytes) -> Decoded:
        try:
            return decode(body)
        except msgspec.ValidationError as error:
            raise msgspec.ValidationError(f"this is no {kind}: {error}") from error
        except RecursionError as error:
            raise msgspec.DecodeError(f"this {kind} is nested too deep") from error
        except ValueError as error:
            return _decode_mended(body, decode, error)

    return decode_anyway


def _decode_mended(body: bytes, decode: Callable[[bytes], Decoded], error: ValueError) -> Decoded:
    try:
        # Python's own json reads lone surrogates, which msgspec refuses; UTF-16 is where they can be replaced.
        text = json.dumps(json.loads(body.decode("utf-8", "replace")), ensure_ascii=False)
        return decode(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode())
    except (ValueError, RecursionError):
        raise msgspec.DecodeError(str(error)) from error
