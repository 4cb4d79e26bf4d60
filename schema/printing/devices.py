"""Dynamic resource allocation, and the API server's own bookkeeping of stored versions."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell, Column, Since
from schema.printing.printer import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Condition,
    Fields,
    Metadata,
    Present,
    Printer,
    age,
    first_few,
    integer,
    text,
)


class ClaimStatus(Fields):
    allocation: Present | None = None
    reserved_for: list[msgspec.Raw] | None = None


class ResourceClaim(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: ClaimStatus = msgspec.field(default_factory=ClaimStatus)


class Pool(Fields):
    name: str = ""


class SliceSpec(Fields):
    node_name: str | None = None
    driver: str = ""
    pool: Pool = msgspec.field(default_factory=Pool)


class ResourceSlice(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: SliceSpec = msgspec.field(default_factory=SliceSpec)


class Taint(Fields):
    key: str = ""
    value: str = ""
    effect: str = ""
    time_added: str | None = None


class TaintRuleSpec(Fields):
    taint: Taint = msgspec.field(default_factory=Taint)


class DeviceTaintRule(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: TaintRuleSpec = msgspec.field(default_factory=TaintRuleSpec)


class PoolStatus(Fields):
    total_devices: int | None = None
    available_devices: int | None = None
    allocated_devices: int | None = None
    unavailable_devices: int | None = None
    validation_error: str | None = None


class TimedCondition(Condition):
    last_transition_time: str | None = None


class PoolsStatus(Fields):
    pool_count: int | None = None
    pools: list[PoolStatus] | None = None
    conditions: list[TimedCondition] | None = None


class PoolsSpec(Fields):
    driver: str = ""


class ResourcePoolStatusRequest(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PoolsSpec = msgspec.field(default_factory=PoolsSpec)
    status: PoolsStatus | None = None


class ServerVersion(Fields):
    api_server_id: str = msgspec.field(name="apiServerID", default="")
    encoding_version: str = ""


class StorageVersionStatus(Fields):
    common_encoding_version: str | None = None
    storage_versions: list[ServerVersion] | None = None


class StorageVersion(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    status: StorageVersionStatus = msgspec.field(default_factory=StorageVersionStatus)


class GroupResource(Fields):
    group: str = ""
    resource: str = ""


class MigrationSpec(Fields):
    resource: GroupResource = msgspec.field(default_factory=GroupResource)


class MigrationStatus(Fields):
    conditions: list[Condition] | None = None


class StorageVersionMigration(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: MigrationSpec = msgspec.field(default_factory=MigrationSpec)
    status: MigrationStatus = msgspec.field(default_factory=MigrationStatus)


def resource_claim_cells(claim: ResourceClaim) -> list[Cell]:
    return [claim.metadata.name, _state(claim), age(claim.metadata)]


def _state(claim: ResourceClaim) -> str:
    states = ["deleted"] if claim.metadata.deletion_timestamp is not None else []
    if claim.status.allocation is not None:
        states.append("allocated")
        if claim.status.reserved_for:
            states.append("reserved")
    elif not states:
        states.append("pending")
    return ",".join(states)


def resource_slice_cells(obj: ResourceSlice) -> list[Cell]:
    spec = obj.spec
    return [obj.metadata.name, spec.node_name or "", spec.driver, spec.pool.name, age(obj.metadata)]


def _resource_slice_fields(obj: ResourceSlice) -> list[str]:
    spec = obj.spec
    return [
        f"spec.nodeName={spec.node_name or ''}",
        f"spec.driver={spec.driver}",
        f"spec.pool.name={spec.pool.name}",
    ]


def taint_rule_cells(rule: DeviceTaintRule) -> list[Cell]:
    taint = rule.spec.taint
    added: Cell = "" if taint.time_added is None else Since(taint.time_added)
    return [rule.metadata.name, taint.key, taint.value, taint.effect, added, age(rule.metadata)]


def pool_status_cells(request: ResourcePoolStatusRequest) -> list[Cell]:
    status = request.status or PoolsStatus()
    pools = status.pools or []
    outcome = next(
        (c for c in status.conditions or () if c.type in ("Complete", "Failed") and c.status == "True"), None
    )
    word = "Pending" if outcome is None else outcome.type
    if word == "Complete" and (status.pool_count or 0) > len(pools):
        word = f"Complete ({len(pools)}/{status.pool_count} pools)"
    failed = outcome is not None and outcome.type == "Failed"
    complete = outcome is not None and not failed
    return [
        request.metadata.name,
        request.spec.driver,
        *(["-"] * 5 if request.status is None or failed else _sums(pools)),
        status.pool_count or 0,
        word,
        Since(outcome.last_transition_time or "") if outcome is not None and complete else NONE,
    ]


def _sums(pools: list[PoolStatus]) -> list[str]:
    return [
        str(sum(pool.total_devices or 0 for pool in pools)),
        str(sum(pool.available_devices or 0 for pool in pools)),
        str(sum(pool.allocated_devices or 0 for pool in pools)),
        str(sum(pool.unavailable_devices or 0 for pool in pools)),
        str(sum(pool.validation_error is not None for pool in pools)),
    ]


def storage_version_cells(obj: StorageVersion) -> list[Cell]:
    common = obj.status.common_encoding_version
    versions = [f"{v.api_server_id}={v.encoding_version}" for v in obj.status.storage_versions or ()]
    return [
        obj.metadata.name,
        UNSET if common is None else common,
        first_few(versions, 3) or UNSET,
        age(obj.metadata),
    ]


def migration_cells(migration: StorageVersionMigration) -> list[Cell]:
    resource = migration.spec.resource
    status = "Unknown"
    for condition in migration.status.conditions or ():
        if condition.status == "True" and condition.type in ("Running", "Succeeded", "Failed"):
            status = condition.type
    return [
        migration.metadata.name,
        f"{resource.resource}.{resource.group}" if resource.group else resource.resource,
        status,
    ]


GROUP = "resource.k8s.io"

PRINTERS = (
    Printer(
        GROUP,
        "resourceclaims",
        ResourceClaim,
        (NAME, text("State"), AGE),
        resource_claim_cells,
        status="State",
    ),
    Printer(
        GROUP,
        "resourceslices",
        ResourceSlice,
        (NAME, text("Node"), text("Driver"), text("Pool"), AGE),
        resource_slice_cells,
        fields=_resource_slice_fields,
    ),
    Printer(
        GROUP,
        "devicetaintrules",
        DeviceTaintRule,
        (NAME, text("Key"), text("Value"), text("Effect"), text("TimeAdded"), AGE),
        taint_rule_cells,
    ),
    Printer(
        GROUP,
        "resourcepoolstatusrequests",
        ResourcePoolStatusRequest,
        (
            NAME,
            text("Driver"),
            text("Total"),
            text("Available"),
            text("Allocated"),
            text("Unavailable"),
            text("Errors"),
            integer("Pools"),
            text("Status"),
            text("Completed"),
        ),
        pool_status_cells,
        status="Status",
    ),
    Printer(
        "internal.apiserver.k8s.io",
        "storageversions",
        StorageVersion,
        (NAME, text("CommonEncodingVersion"), text("StorageVersions"), AGE),
        storage_version_cells,
    ),
    Printer(
        "storagemigration.k8s.io",
        "storageversionmigrations",
        StorageVersionMigration,
        (Column("Name"), text("Resource"), text("Status")),
        migration_cells,
        status="Status",
    ),
)
