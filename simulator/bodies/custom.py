"""Two CRDs with printer columns and the custom resources of them."""

from __future__ import annotations

from typing import Any

from ..apps import App
from ..template import Template
from ..types import ServedType, Subresource
from .common import Body, document

VALUES = ("created", "changed", "state")
CRD_VALUES = ("created",)

CERTIFICATES = ServedType(
    "cert.example.io",
    "v1",
    "certificates",
    "Certificate",
    True,
    "certificate",
    ("cert",),
    ("security",),
    subresources=(Subresource("status", "Certificate", group="cert.example.io", version="v1"),),
    custom=True,
    storage=("cert.example.io", "certificates"),
)
DATABASES = ServedType(
    "db.example.io",
    "v1beta1",
    "databases",
    "Database",
    True,
    "database",
    ("dbs",),
    ("data",),
    subresources=(Subresource("status", "Database", group="db.example.io", version="v1beta1"),),
    custom=True,
    storage=("db.example.io", "databases"),
)
COLUMNS: dict[str, list[dict[str, Any]]] = {
    "certificates": [
        {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
        {"name": "Secret", "type": "string", "jsonPath": ".spec.secretName"},
        {"name": "Issuer", "type": "string", "priority": 1, "jsonPath": ".spec.issuerRef.name"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
    "databases": [
        {"name": "Engine", "type": "string", "jsonPath": ".spec.engine"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ],
}


def _schema() -> Body:
    open_object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": open_object,
        "status": open_object,
    }
    return {"openAPIV3Schema": {"type": "object", "properties": properties}}


def definition_template(served: ServedType) -> Template:
    """The CustomResourceDefinition of a type, established."""
    names = {
        "plural": served.resource,
        "singular": served.singular,
        "shortNames": list(served.short_names),
        "kind": served.kind,
        "listKind": served.list_kind,
        "categories": list(served.categories),
    }
    version = {
        "name": served.version,
        "served": True,
        "storage": True,
        "schema": _schema(),
        "subresources": {"status": {}},
        "additionalPrinterColumns": COLUMNS[served.resource],
    }
    spec = {
        "group": served.group,
        "names": names,
        "scope": "Namespaced",
        "versions": [version],
        "conversion": {"strategy": "None"},
    }
    conditions = [
        {
            "type": kind,
            "status": "True",
            "lastTransitionTime": "@created@",
            "reason": reason,
            "message": message,
        }
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    status = {
        "conditions": conditions,
        "acceptedNames": names,
        "storedVersions": [served.version],
    }
    body = document(
        "apiextensions.k8s.io/v1",
        {"spec": spec, "status": status},
        namespaced=False,
        generation=1,
        status_manager="kube-apiserver",
    )
    return Template(("crd", served.resource), body, CRD_VALUES)


def _custom(served: ServedType, spec: Body, status: Body, app: App) -> Body:
    return document(
        f"{served.group}/{served.version}",
        {"spec": spec, "status": status},
        generation=1,
        labels=app.labels,
        status_manager=f"{served.singular}-operator",
        status_time="@changed@",
    )


def certificate_template(app: App) -> Template:
    """`state` is True or False, for the condition Ready."""
    host = f"{app.name}.{app.namespace}.example.io"
    spec = {
        "dnsNames": [host],
        "duration": "2160h",
        "issuerRef": {"kind": "ClusterIssuer", "name": "letsencrypt"},
        "secretName": f"{app.name}-tls",
    }
    condition = {
        "lastTransitionTime": "@changed@",
        "message": "Certificate is up to date and has not expired",
        "observedGeneration": 1,
        "reason": "Ready",
        "status": "@state@",
        "type": "Ready",
    }
    status = {"conditions": [condition], "notAfter": "2027-02-01T00:00:00Z", "revision": 3}
    body = _custom(CERTIFICATES, spec, status, app)
    return Template(("certificate", app.index), body, VALUES, sort_keys=True)


def database_template(app: App) -> Template:
    """`state` is the phase."""
    spec = {
        "backup": {"retentionDays": 14, "schedule": "0 3 * * *"},
        "engine": ("postgres", "mysql", "redis")[app.index % 3],
        "replicas": 1 + app.index % 3,
        "storage": "50Gi",
        "version": str(14 + app.index % 5),
    }
    status = {
        "endpoint": f"{app.name}-db.{app.namespace}.svc:5432",
        "observedGeneration": 1,
        "phase": "@state@",
    }
    body = _custom(DATABASES, spec, status, app)
    return Template(("database", app.index), body, VALUES, sort_keys=True)
