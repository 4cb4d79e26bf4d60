"""Types of which the Table tells no more than name and time of creation."""

from __future__ import annotations

from typing import Final

from schema.printing.columns import Cell
from schema.printing.printer import AGE, CREATED_AT, NAME, Object, Printer, age, created

NAME_AND_AGE: Final = (NAME, AGE)
NAME_AND_CREATION: Final = (NAME, CREATED_AT)
"""What the API server's default says, for built-in types that have no printer."""


def named_cells(obj: Object) -> list[Cell]:
    return [obj.metadata.name, age(obj.metadata)]


def created_cells(obj: Object) -> list[Cell]:
    return [obj.metadata.name, created(obj.metadata)]


def unprinted(group: str, resource: str) -> Printer[Object]:
    return Printer(group, resource, Object, NAME_AND_CREATION, created_cells)


def named(group: str, resource: str) -> Printer[Object]:
    return Printer(group, resource, Object, NAME_AND_AGE, named_cells)


GENERIC: Final = named("", "*")
"""For types that we have no printer for: those of aggregated API servers and of other Kubernetes versions."""

PRINTERS = (
    unprinted("", "limitranges"),
    unprinted("rbac.authorization.k8s.io", "roles"),
    unprinted("rbac.authorization.k8s.io", "clusterroles"),
    unprinted("storage.k8s.io", "csistoragecapacities"),
    named("", "serviceaccounts"),
    named("resource.k8s.io", "deviceclasses"),
    named("resource.k8s.io", "resourceclaimtemplates"),
    named("scheduling.k8s.io", "workloads"),
)
