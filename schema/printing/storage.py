"""Volumes, claims, storage classes, and CSI."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell, Column
from schema.printing.printer import (
    AGE,
    NAME,
    NONE,
    UNSET,
    Annotated,
    Fields,
    Metadata,
    Printer,
    age,
    boolean,
    integer,
    text,
    wide,
)

BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
DEFAULT_CLASS = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
ACCESS_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}


class Quantities(Fields):
    """Of a map of resources, what is stored."""

    storage: str = "0"


class ClaimReference(Fields):
    namespace: str = ""
    name: str = ""


class VolumeSpec(Fields):
    capacity: Quantities | None = None
    access_modes: list[str] | None = None
    persistent_volume_reclaim_policy: str = ""
    claim_ref: ClaimReference | None = None
    storage_class_name: str = ""
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None


class VolumeStatus(Fields):
    phase: str = ""
    reason: str = ""


class PersistentVolume(Fields):
    metadata: Annotated = msgspec.field(default_factory=Annotated)
    spec: VolumeSpec = msgspec.field(default_factory=VolumeSpec)
    status: VolumeStatus = msgspec.field(default_factory=VolumeStatus)


class ClaimSpec(Fields):
    volume_name: str = ""
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: str | None = None


class ClaimStatus(Fields):
    phase: str = ""
    access_modes: list[str] | None = None
    capacity: Quantities | None = None


class PersistentVolumeClaim(Fields):
    metadata: Annotated = msgspec.field(default_factory=Annotated)
    spec: ClaimSpec = msgspec.field(default_factory=ClaimSpec)
    status: ClaimStatus = msgspec.field(default_factory=ClaimStatus)


class StorageClass(Fields):
    metadata: Annotated = msgspec.field(default_factory=Annotated)
    provisioner: str = ""
    reclaim_policy: str | None = None
    volume_binding_mode: str | None = None
    allow_volume_expansion: bool | None = None


class VolumeAttributesClass(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    driver_name: str = ""


class AttachmentSource(Fields):
    persistent_volume_name: str | None = None


class AttachmentSpec(Fields):
    attacher: str = ""
    node_name: str = ""
    source: AttachmentSource = msgspec.field(default_factory=AttachmentSource)


class AttachmentStatus(Fields):
    attached: bool = False


class VolumeAttachment(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: AttachmentSpec = msgspec.field(default_factory=AttachmentSpec)
    status: AttachmentStatus = msgspec.field(default_factory=AttachmentStatus)


class CSINodeSpec(Fields):
    drivers: list[msgspec.Raw] | None = None


class CSINode(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: CSINodeSpec = msgspec.field(default_factory=CSINodeSpec)


class TokenRequest(Fields):
    audience: str = ""


class CSIDriverSpec(Fields):
    attach_required: bool | None = None
    pod_info_on_mount: bool | None = None
    storage_capacity: bool | None = None
    token_requests: list[TokenRequest] | None = None
    requires_republish: bool | None = None
    volume_lifecycle_modes: list[str] | None = None


class CSIDriver(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: CSIDriverSpec = msgspec.field(default_factory=CSIDriverSpec)


def _access_modes(modes: list[str] | None) -> str:
    return ",".join(short for mode, short in ACCESS_MODES.items() if mode in (modes or ()))


def _class(metadata: Annotated, name: str | None) -> str:
    return (metadata.annotations or {}).get(BETA_CLASS, name or "")


def _phase(metadata: Metadata, phase: str) -> str:
    return phase if metadata.deletion_timestamp is None else "Terminating"


def volume_cells(volume: PersistentVolume) -> list[Cell]:
    spec = volume.spec
    claim = spec.claim_ref
    return [
        volume.metadata.name,
        (spec.capacity or Quantities()).storage,
        _access_modes(spec.access_modes),
        spec.persistent_volume_reclaim_policy,
        _phase(volume.metadata, volume.status.phase),
        f"{claim.namespace}/{claim.name}" if claim is not None else "",
        _class(volume.metadata, spec.storage_class_name),
        UNSET if spec.volume_attributes_class_name is None else spec.volume_attributes_class_name,
        volume.status.reason,
        age(volume.metadata),
        UNSET if spec.volume_mode is None else spec.volume_mode,
    ]


def claim_cells(claim: PersistentVolumeClaim) -> list[Cell]:
    spec, status = claim.spec, claim.status
    bound = bool(spec.volume_name)
    return [
        claim.metadata.name,
        _phase(claim.metadata, status.phase),
        spec.volume_name,
        (status.capacity or Quantities()).storage if bound else "",
        _access_modes(status.access_modes) if bound else "",
        _class(claim.metadata, spec.storage_class_name),
        UNSET if spec.volume_attributes_class_name is None else spec.volume_attributes_class_name,
        age(claim.metadata),
        UNSET if spec.volume_mode is None else spec.volume_mode,
    ]


def storage_class_cells(obj: StorageClass) -> list[Cell]:
    """The API server marks only the newest of several defaults in a list, and none in a single get; a cell that is made
    from one object cannot know, and marks each."""
    annotations = obj.metadata.annotations or {}
    default = any(annotations.get(key) == "true" for key in DEFAULT_CLASS)
    return [
        obj.metadata.name + (" (default)" if default else ""),
        obj.provisioner,
        "Delete" if obj.reclaim_policy is None else obj.reclaim_policy,
        "Immediate" if obj.volume_binding_mode is None else obj.volume_binding_mode,
        bool(obj.allow_volume_expansion),
        age(obj.metadata),
    ]


def attachment_cells(obj: VolumeAttachment) -> list[Cell]:
    return [
        obj.metadata.name,
        obj.spec.attacher,
        obj.spec.source.persistent_volume_name or "",
        obj.spec.node_name,
        obj.status.attached,
        age(obj.metadata),
    ]


def csi_driver_cells(driver: CSIDriver) -> list[Cell]:
    spec = driver.spec
    tokens = UNSET
    if spec.token_requests is not None:
        tokens = ",".join(request.audience for request in spec.token_requests)
    return [
        driver.metadata.name,
        True if spec.attach_required is None else spec.attach_required,
        bool(spec.pod_info_on_mount),
        bool(spec.storage_capacity),
        tokens,
        bool(spec.requires_republish),
        ",".join(spec.volume_lifecycle_modes or ()) or NONE,
        age(driver.metadata),
    ]


GROUP = "storage.k8s.io"

PRINTERS = (
    Printer(
        "",
        "persistentvolumes",
        PersistentVolume,
        (
            NAME,
            text("Capacity"),
            text("Access Modes"),
            text("Reclaim Policy"),
            text("Status"),
            text("Claim"),
            text("StorageClass"),
            text("VolumeAttributesClass"),
            text("Reason"),
            AGE,
            wide("VolumeMode"),
        ),
        volume_cells,
        status="Status",
    ),
    Printer(
        "",
        "persistentvolumeclaims",
        PersistentVolumeClaim,
        (
            NAME,
            text("Status"),
            text("Volume"),
            text("Capacity"),
            text("Access Modes"),
            text("StorageClass"),
            text("VolumeAttributesClass"),
            AGE,
            wide("VolumeMode"),
        ),
        claim_cells,
        status="Status",
    ),
    Printer(
        GROUP,
        "storageclasses",
        StorageClass,
        (
            NAME,
            text("Provisioner"),
            text("ReclaimPolicy"),
            text("VolumeBindingMode"),
            text("AllowVolumeExpansion"),
            AGE,
        ),
        storage_class_cells,
    ),
    Printer(
        GROUP,
        "volumeattributesclasses",
        VolumeAttributesClass,
        (NAME, text("DriverName"), AGE),
        lambda obj: [obj.metadata.name, obj.driver_name, age(obj.metadata)],
    ),
    Printer(
        GROUP,
        "volumeattachments",
        VolumeAttachment,
        (NAME, Column("Attacher", format="name"), text("PV"), text("Node"), boolean("Attached"), AGE),
        attachment_cells,
    ),
    Printer(
        GROUP,
        "csinodes",
        CSINode,
        (NAME, integer("Drivers"), AGE),
        lambda obj: [obj.metadata.name, len(obj.spec.drivers or ()), age(obj.metadata)],
    ),
    Printer(
        GROUP,
        "csidrivers",
        CSIDriver,
        (
            NAME,
            boolean("AttachRequired"),
            boolean("PodInfoOnMount"),
            boolean("StorageCapacity"),
            text("TokenRequests"),
            boolean("RequiresRepublish"),
            text("Modes"),
            AGE,
        ),
        csi_driver_cells,
    ),
)
