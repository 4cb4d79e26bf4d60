"""Events, in the shape of core/v1."""

from __future__ import annotations

from typing import Any

import orjson

from ..template import Template, go_json
from .common import document

VALUES = ("created", "last", "object", "count", "node")

REASONS: dict[str, tuple[str, str, str]] = {
    "Scheduled": ("Normal", "default-scheduler", "Successfully assigned @namespace@/@object@ to @node@"),
    "Pulled": ("Normal", "kubelet", "Container image already present on machine"),
    "Started": ("Normal", "kubelet", "Container started"),
    "BackOff": ("Warning", "kubelet", "Back-off restarting failed container in pod @object@_@namespace@"),
    "Failed": ("Warning", "kubelet", "Error: ImagePullBackOff"),
    "Unhealthy": ("Warning", "kubelet", "Readiness probe failed: HTTP probe failed with statuscode: 503"),
    "FailedScheduling": (
        "Warning",
        "default-scheduler",
        "0/12 nodes are available: 12 Insufficient cpu.",
    ),
    "Evicted": ("Warning", "kubelet", "The node was low on resource: memory."),
}


def event_template(reason: str) -> Template:
    """An Event about a pod; `object` is the pod's name, the row's owner the pod."""
    kind, component, message = REASONS[reason]
    involved = {
        "kind": "Pod",
        "namespace": "@namespace@",
        "name": "@object@",
        "uid": "@owner@",
        "apiVersion": "v1",
    }
    source = {"component": component} | ({"host": "@node@"} if component == "kubelet" else {})
    parts = {
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "source": source,
        "firstTimestamp": "@created@",
        "lastTimestamp": "@last@",
        "count": "@!count@",
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": "@node@",
    }
    fields = {
        "involvedObject.kind": "Pod",
        "involvedObject.name": "@object",
        "involvedObject.apiVersion": "v1",
        "reason": reason,
        "type": kind,
        "source": component,
        "reportingComponent": component,
    }
    body = document("v1", parts, manager=component)
    return Template(("event", reason), body, VALUES, fields)


_NAMES = {
    "reportingController": "reportingComponent",
    "regarding": "involvedObject",
    "note": "message",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}


def from_events_v1(event: dict[str, Any]) -> dict[str, Any]:
    """An events.k8s.io/v1 Event that a client wrote, as it is kept."""
    return {_NAMES.get(key, key): value for key, value in event.items()}


def as_events_v1(body: bytes) -> bytes:
    """A core/v1 Event's text in the shape of events.k8s.io/v1, which is the same object with other names."""
    event: dict[str, Any] = orjson.loads(b"{" + body)
    involved = event.pop("involvedObject", {})
    metadata = event.pop("metadata")
    renamed: dict[str, Any] = {
        "metadata": metadata,
        "eventTime": event.pop("eventTime", None),
        "reportingController": event.pop("reportingComponent", ""),
        "reportingInstance": event.pop("reportingInstance", ""),
        "reason": event.pop("reason", ""),
        "regarding": involved,
        "note": event.pop("message", ""),
        "type": event.pop("type", ""),
        "deprecatedSource": event.pop("source", {}),
        "deprecatedFirstTimestamp": event.pop("firstTimestamp", None),
        "deprecatedLastTimestamp": event.pop("lastTimestamp", None),
        "deprecatedCount": event.pop("count", 0),
    }
    return go_json(renamed | event)[1:]
