"""Role bindings. Roles themselves have no printer (see generic.py)."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import AGE, NAME, Fields, Metadata, Printer, age, text, wide


class RoleRef(Fields):
    kind: str = ""
    name: str = ""


class Subject(Fields):
    kind: str = ""
    namespace: str = ""
    name: str = ""


class RoleBinding(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    role_ref: RoleRef = msgspec.field(default_factory=RoleRef)
    subjects: list[Subject] | None = None


def role_binding_cells(binding: RoleBinding) -> list[Cell]:
    subjects = binding.subjects or ()
    return [
        binding.metadata.name,
        f"{binding.role_ref.kind}/{binding.role_ref.name}",
        age(binding.metadata),
        ", ".join(subject.name for subject in subjects if subject.kind == "User"),
        ", ".join(subject.name for subject in subjects if subject.kind == "Group"),
        ", ".join(f"{s.namespace}/{s.name}" for s in subjects if s.kind == "ServiceAccount"),
    ]


COLUMNS = (NAME, text("Role"), AGE, wide("Users"), wide("Groups"), wide("ServiceAccounts"))

PRINTERS = tuple(
    Printer("rbac.authorization.k8s.io", resource, RoleBinding, COLUMNS, role_binding_cells)
    for resource in ("rolebindings", "clusterrolebindings")
)
