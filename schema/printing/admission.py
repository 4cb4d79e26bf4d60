"""Admission webhooks and policies, and the APIs that aggregated servers add."""

from __future__ import annotations

import msgspec

from schema.printing.columns import Cell
from schema.printing.printer import AGE, NAME, UNSET, Condition, Fields, Metadata, Printer, age, integer, text
from schema.printing.selectors import LabelSelector, go_text


class WebhookConfiguration(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    webhooks: list[msgspec.Raw] | None = None


class ParamKind(Fields):
    api_version: str = ""
    kind: str = ""


class PolicySpec(Fields):
    """A validating policy has validations, a mutating one mutations."""

    param_kind: ParamKind | None = None
    validations: list[msgspec.Raw] | None = None
    mutations: list[msgspec.Raw] | None = None


class Policy(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: PolicySpec = msgspec.field(default_factory=PolicySpec)


class ParamRef(Fields):
    name: str = ""
    namespace: str = ""
    selector: LabelSelector | None = None


class BindingSpec(Fields):
    policy_name: str = ""
    param_ref: ParamRef | None = None


class Binding(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: BindingSpec = msgspec.field(default_factory=BindingSpec)


class ServiceReference(Fields):
    namespace: str = ""
    name: str = ""


class APIServiceSpec(Fields):
    service: ServiceReference | None = None


class APIServiceStatus(Fields):
    conditions: list[Condition] | None = None


class APIService(Fields):
    metadata: Metadata = msgspec.field(default_factory=Metadata)
    spec: APIServiceSpec = msgspec.field(default_factory=APIServiceSpec)
    status: APIServiceStatus = msgspec.field(default_factory=APIServiceStatus)


def webhook_cells(obj: WebhookConfiguration) -> list[Cell]:
    return [obj.metadata.name, len(obj.webhooks or ()), age(obj.metadata)]


def policy_cells(policy: Policy) -> list[Cell]:
    kind = policy.spec.param_kind
    rules = policy.spec.validations or policy.spec.mutations or ()
    return [
        policy.metadata.name,
        len(rules),
        UNSET if kind is None else f"{kind.api_version}/{kind.kind}",
        age(policy.metadata),
    ]


def binding_cells(binding: Binding) -> list[Cell]:
    reference = binding.spec.param_ref
    param = UNSET
    if reference is not None and reference.name:
        param = f"{reference.namespace or '*'}/{reference.name}"
    elif reference is not None and reference.selector is not None:
        param = go_text(reference.selector)
    return [binding.metadata.name, binding.spec.policy_name, param, age(binding.metadata)]


def api_service_cells(obj: APIService) -> list[Cell]:
    service = obj.spec.service
    available = "Unknown"
    for condition in obj.status.conditions or ():
        if condition.type == "Available":
            available = condition.status
            if condition.status != "True" and condition.reason:
                available += f" ({condition.reason})"
            break
    return [
        obj.metadata.name,
        "Local" if service is None else f"{service.namespace}/{service.name}",
        available,
        age(obj.metadata),
    ]


GROUP = "admissionregistration.k8s.io"
WEBHOOK_COLUMNS = (NAME, integer("Webhooks"), AGE)
BINDING_COLUMNS = (NAME, text("PolicyName"), text("ParamRef"), AGE)

PRINTERS = (
    Printer(GROUP, "mutatingwebhookconfigurations", WebhookConfiguration, WEBHOOK_COLUMNS, webhook_cells),
    Printer(GROUP, "validatingwebhookconfigurations", WebhookConfiguration, WEBHOOK_COLUMNS, webhook_cells),
    Printer(
        GROUP,
        "validatingadmissionpolicies",
        Policy,
        (NAME, integer("Validations"), text("ParamKind"), AGE),
        policy_cells,
    ),
    Printer(
        GROUP,
        "mutatingadmissionpolicies",
        Policy,
        (NAME, integer("Mutations"), text("ParamKind"), AGE),
        policy_cells,
    ),
    Printer(GROUP, "validatingadmissionpolicybindings", Binding, BINDING_COLUMNS, binding_cells),
    Printer(GROUP, "mutatingadmissionpolicybindings", Binding, BINDING_COLUMNS, binding_cells),
    Printer(
        "apiregistration.k8s.io",
        "apiservices",
        APIService,
        (NAME, text("Service"), text("Available"), AGE),
        api_service_cells,
    ),
)
