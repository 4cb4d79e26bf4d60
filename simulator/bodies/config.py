"""ConfigMaps, Secrets and ServiceAccounts."""

from __future__ import annotations

import base64
import random

from ..apps import App
from ..template import Template
from .common import document

VALUES = ("created", "edited")


def configmap_template(app: App) -> Template:
    """The app's settings; `edited` changes with every edit."""
    lines = "\n".join(f"{name.lower()}: {value}" for name, value in app.settings(12))
    data = {
        "config.yaml": f"server:\n  port: 8080\n{lines}\n",
        "edited": "@edited@",
        "log-level": "info",
    }
    body = document("v1", {"data": data}, labels=app.labels)
    return Template(("configmap", app.index), body, VALUES)


def root_ca_template() -> Template:
    rng = random.Random(7)
    text = base64.b64encode(rng.randbytes(760)).decode()
    lines = "\n".join(text[i : i + 64] for i in range(0, len(text), 64))
    data = {"ca.crt": f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"}
    body = document(
        "v1",
        {"data": data},
        annotations={
            "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver "
            "when using internal endpoints such as the internal service IP or kubernetes.default.svc."
        },
        manager="kube-controller-manager",
    )
    return Template(("root-ca",), body, VALUES)


def filler_template(number: int) -> Template:
    """A ConfigMap of some kilobytes, such as dashboards are."""
    rng = random.Random(number)
    words = [
        "panel",
        "query",
        "rate",
        "sum",
        "by",
        "legend",
        "target",
        "refresh",
        "datasource",
        "threshold",
        "unit",
        "axis",
        "row",
        "title",
    ]
    text = " ".join(rng.choice(words) for _ in range(200))
    body = document(
        "v1",
        {"data": {"dashboard.json": text, "edited": "@edited@"}},
        labels={"grafana_dashboard": "1"},
    )
    return Template(("filler", number), body, VALUES)


def secret_template(app: App) -> Template:
    rng = random.Random(app.salt)
    data = {name: base64.b64encode(rng.randbytes(24)).decode() for name in ("api-key", "password", "username")}
    body = document("v1", {"data": data, "type": "Opaque"}, labels=app.labels)
    return Template(("secret", app.index), body, VALUES, {"type": "Opaque"})


def service_account_template() -> Template:
    return Template(("serviceaccount",), document("v1", {}, manager="kube-controller-manager"), VALUES)
