"""Configuration and limits of a namespace: config maps, secrets, quotas; and leases."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import AGE, NAME, Fields, Metadata, Printer, age, text


class ConfigMap(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    data: dict[str, msgspec.Raw] | None = None
    binary_data: dict[str, msgspec.Raw] | None = None


class Secret(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    type: str = ""
    data: dict[str, msgspec.Raw] | None = None


class QuotaStatus(Fields):
    hard: dict[str, str] | None = None
    used: dict[str, str] | None = None


class ResourceQuota(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: QuotaStatus = msgspec.field(default_factory=QuotaStatus)


class LeaseSpec(Fields):
    holder_identity: str | None = None


class Lease(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: LeaseSpec = msgspec.field(default_factory=LeaseSpec)


class LeaseCandidateSpec(Fields):
    lease_name: str = ""
    binary_version: str = ""
    emulation_version: str = ""


class LeaseCandidate(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: LeaseCandidateSpec = msgspec.field(default_factory=LeaseCandidateSpec)


def config_map_cells(obj: ConfigMap) -> list[Cell]:
    return [obj.metadata.name, len(obj.data or ()) + len(obj.binary_data or ()), age(obj.metadata)]


def resource_quota_cells(quota: ResourceQuota) -> list[Cell]:
    used = quota.status.used or {}
    requests: list[str] = []
    limits: list[str] = []
    for name, hard in sorted((quota.status.hard or {}).items()):
        column = limits if name.startswith("limits.") else requests
        column.append(f"{name}: {used.get(name, '0')}/{hard}")
    return [quota.metadata.name, ", ".join(requests), ", ".join(limits), age(quota.metadata)]


PRINTERS = (
    Printer("", "configmaps", ConfigMap, (NAME, text("Data"), AGE), config_map_cells),
    Printer(
        "",
        "secrets",
        Secret,
        (NAME, text("Type"), text("Data"), AGE),
        lambda obj: [obj.metadata.name, obj.type, len(obj.data or ()), age(obj.metadata)],
        fields=lambda obj: [f"type={obj.type}"],
    ),
    Printer("", "resourcequotas", ResourceQuota, (NAME, text("Request"), text("Limit"), AGE), resource_quota_cells),
    Printer(
        "coordination.k8s.io",
        "leases",
        Lease,
        (NAME, text("Holder"), AGE),
        lambda obj: [obj.metadata.name, obj.spec.holder_identity or "", age(obj.metadata)],
    ),
    Printer(
        "coordination.k8s.io",
        "leasecandidates",
        LeaseCandidate,
        (NAME, text("LeaseName"), text("BinaryVersion"), text("EmulationVersion"), AGE),
        lambda obj: [
            obj.metadata.name,
            obj.spec.lease_name,
            obj.spec.binary_version,
            obj.spec.emulation_version,
            age(obj.metadata),
        ],
    ),
)
