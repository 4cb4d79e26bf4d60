"""Certificate requests and trust bundles."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell, human_duration
from schema.printing.printer import AGE, NAME, NONE, Condition, Fields, Metadata, Printer, age, text
from schema.printing.selectors import format_labels


class SigningSpec(Fields):
    signer_name: str = ""
    username: str = ""
    expiration_seconds: int | None = None


class SigningStatus(Fields):
    conditions: list[Condition] | None = None
    certificate: str | None = None


class CertificateSigningRequest(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: SigningSpec = msgspec.field(default_factory=SigningSpec)
    status: SigningStatus = msgspec.field(default_factory=SigningStatus)


class TrustBundleSpec(Fields):
    signer_name: str = ""


class ClusterTrustBundle(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: TrustBundleSpec = msgspec.field(default_factory=TrustBundleSpec)


class PodCertificateSpec(Fields):
    signer_name: str = ""
    pod_name: str = ""
    service_account_name: str = ""
    node_name: str = ""
    unverified_user_annotations: dict[str, str] | None = None


class PodCertificateStatus(Fields):
    conditions: list[Condition] | None = None


class PodCertificateRequest(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PodCertificateSpec = msgspec.field(default_factory=PodCertificateSpec)
    status: PodCertificateStatus = msgspec.field(default_factory=PodCertificateStatus)


def signing_request_cells(obj: CertificateSigningRequest) -> list[Cell]:
    spec = obj.spec
    return [
        obj.metadata.name,
        age(obj.metadata),
        spec.signer_name or NONE,
        spec.username,
        NONE if spec.expiration_seconds is None else human_duration(spec.expiration_seconds),
        _condition(obj.status),
    ]


def _condition(status: SigningStatus) -> str:
    types = {condition.type for condition in status.conditions or ()}
    word = "Denied" if "Denied" in types else "Approved" if "Approved" in types else "Pending"
    if "Failed" in types:
        word += ",Failed"
    return f"{word},Issued" if status.certificate else word


def pod_certificate_cells(obj: PodCertificateRequest) -> list[Cell]:
    spec = obj.spec
    states = [c.type for c in obj.status.conditions or () if c.type in ("Issued", "Denied", "Failed")]
    return [
        obj.metadata.name,
        spec.pod_name,
        spec.service_account_name,
        spec.node_name,
        spec.signer_name,
        states[-1] if states else "Pending",
        format_labels(spec.unverified_user_annotations),
    ]


GROUP = "certificates.k8s.io"

PRINTERS = (
    Printer(
        GROUP,
        "certificatesigningrequests",
        CertificateSigningRequest,
        (NAME, AGE, text("SignerName"), text("Requestor"), text("RequestedDuration"), text("Condition")),
        signing_request_cells,
        status="Condition",
        fields=lambda obj: [f"spec.signerName={obj.spec.signer_name}"],
    ),
    Printer(
        GROUP,
        "clustertrustbundles",
        ClusterTrustBundle,
        (NAME, text("SignerName")),
        lambda obj: [obj.metadata.name, obj.spec.signer_name or NONE],
        fields=lambda obj: [f"spec.signerName={obj.spec.signer_name}"],
    ),
    Printer(
        GROUP,
        "podcertificaterequests",
        PodCertificateRequest,
        (
            NAME,
            text("PodName"),
            text("ServiceAccountName"),
            text("NodeName"),
            text("SignerName"),
            text("State"),
            text("UnverifiedUserAnnotations"),
        ),
        pod_certificate_cells,
        fields=lambda obj: [
            f"spec.signerName={obj.spec.signer_name}",
            f"spec.podName={obj.spec.pod_name}",
            f"spec.nodeName={obj.spec.node_name}",
        ],
    ),
)
