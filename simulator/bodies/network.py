"""Services, EndpointSlices, Ingresses and HorizontalPodAutoscalers: what stands around an app."""

from __future__ import annotations

from typing import Any

import orjson

from ..apps import App
from ..template import Template, go_json
from .common import document, owner

VALUES = ("created", "ip", "changed")


def service_template(app: App) -> Template:
    spec = {
        "ports": [{"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http"}],
        "selector": {"app": app.role, "app.kubernetes.io/instance": app.name},
        "clusterIP": "@ip@",
        "clusterIPs": ["@ip@"],
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
        "internalTrafficPolicy": "Cluster",
    }
    body = document("v1", {"spec": spec, "status": {"loadBalancer": {}}}, labels=app.labels)
    return Template(("service", app.index), body, VALUES, {"spec.type": "ClusterIP", "spec.clusterIP": "@ip"})


def endpointslice_template(app: App) -> Template:
    parts = {
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.{app.index % 250}.{number}.17"],
                "conditions": {"ready": True, "serving": True, "terminating": False},
                "targetRef": {
                    "kind": "Pod",
                    "namespace": app.namespace,
                    "name": f"{app.name}-{app.hash}-{number}",
                },
                "nodeName": f"node-{number:03d}",
            }
            for number in range(3)
        ],
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }
    labels = {
        **app.labels,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": app.name,
    }
    body = document(
        "discovery.k8s.io/v1",
        parts,
        generate_name=f"{app.name}-",
        generation=1,
        labels=dict(sorted(labels.items())),
        annotations={"endpoints.kubernetes.io/last-change-trigger-time": "@changed@"},
        owners=[owner("v1", "Service", app.name)],
        manager="kube-controller-manager",
    )
    return Template(("endpointslice", app.index), body, VALUES)


def ingress_template(app: App) -> Template:
    host = f"{app.name}.{app.namespace}.example.io"
    backend = {"service": {"name": app.name, "port": {"name": "http"}}}
    spec = {
        "ingressClassName": "public",
        "tls": [{"hosts": [host], "secretName": f"{app.name}-tls"}],
        "rules": [
            {
                "host": host,
                "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]},
            }
        ],
    }
    status = {"loadBalancer": {"ingress": [{"ip": "198.51.100.20"}]}}
    body = document("networking.k8s.io/v1", {"spec": spec, "status": status}, generation=1, labels=app.labels)
    return Template(("ingress", app.index), body, VALUES)


def autoscaler_template(app: App) -> Template:
    spec = {
        "scaleTargetRef": {"kind": "Deployment", "name": app.name, "apiVersion": "apps/v1"},
        "minReplicas": 2,
        "maxReplicas": 20,
        "metrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 70},
                },
            }
        ],
    }
    moment = "@changed@"
    status = {
        "lastScaleTime": moment,
        "currentReplicas": 3,
        "desiredReplicas": 3,
        "currentMetrics": [
            {
                "type": "Resource",
                "resource": {
                    "name": "cpu",
                    "current": {"averageUtilization": 41, "averageValue": "103m"},
                },
            }
        ],
        "conditions": [
            {
                "type": "AbleToScale",
                "status": "True",
                "lastTransitionTime": moment,
                "reason": "ReadyForNewScale",
                "message": "recommended size matches current size",
            }
        ],
    }
    body = document("autoscaling/v2", {"spec": spec, "status": status}, labels=app.labels)
    return Template(("autoscaler", app.index), body, VALUES)


def as_autoscaling_v1(body: bytes) -> bytes:
    """An autoscaler of version 2 in the shape of version 1, which knows CPU alone."""
    obj: dict[str, Any] = orjson.loads(b"{" + body)
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    for metric in spec.pop("metrics", []):
        target = metric.get("resource", {}).get("target", {})
        spec["targetCPUUtilizationPercentage"] = target.get("averageUtilization", 0)
    for metric in status.pop("currentMetrics", None) or []:
        now = metric.get("resource", {}).get("current", {})
        status["currentCPUUtilizationPercentage"] = now.get("averageUtilization", 0)
    status.pop("conditions", None)
    return go_json(obj)[1:]
