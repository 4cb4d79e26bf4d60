"""Tables as the Kubernetes API server prints them: columns per type, cells per object, ages left as timestamps."""

from __future__ import annotations

from typing import Any, Final

from schema.printing import (
    admission,
    autoscaling,
    batch,
    certificates,
    config,
    crds,
    devices,
    events,
    evictions,
    flowcontrol,
    generic,
    networking,
    nodes,
    pods,
    rbac,
    scheduling,
    services,
    storage,
    workloads,
)
from schema.printing.columns import Cell, Column, Since, decode_cells, encode_cells, human_duration, render
from schema.printing.generic import GENERIC
from schema.printing.printer import Printer

MODULES: Final = (
    admission,
    autoscaling,
    batch,
    certificates,
    config,
    crds,
    devices,
    events,
    evictions,
    flowcontrol,
    generic,
    networking,
    nodes,
    pods,
    rbac,
    scheduling,
    services,
    storage,
    workloads,
)

PRINTERS: Final[dict[tuple[str, str], Printer[Any]]] = {
    (printer.group, printer.resource): printer for module in MODULES for printer in module.PRINTERS
}


def printer_for(group: str, resource: str) -> Printer[Any] | None:
    """The printer of a built-in type; None for custom resources and whatever else has none (see GENERIC)."""
    return PRINTERS.get((group, resource))


__all__ = [
    "GENERIC",
    "PRINTERS",
    "Cell",
    "Column",
    "Printer",
    "Since",
    "decode_cells",
    "encode_cells",
    "human_duration",
    "printer_for",
    "render",
]
