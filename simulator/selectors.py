"""Label and field selectors as a kube-apiserver understands them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from . import status
from .rows import Identity, Row

_KEY = r"(?:[a-z0-9][a-z0-9.-]*/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?"
_SET = re.compile(rf"^\s*(!?)\s*({_KEY})\s*$|^\s*({_KEY})\s+(in|notin)\s*\(([^()]*)\)\s*$", re.ASCII)
_EQUAL = re.compile(rf"^\s*({_KEY})\s*(==|=|!=)\s*([\w.-]*)\s*$", re.ASCII)
_COMMA = re.compile(r",(?![^()]*\))")

Test = Callable[[dict[str, str]], bool]


def _requirement(text: str) -> Test:
    if match := _EQUAL.match(text):
        key, operator, value = match.groups()
        if operator == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if match := _SET.match(text):
        absent, only, key, operator, listed = match.groups()
        if only:
            return (lambda labels: only not in labels) if absent else (lambda labels: only in labels)
        values = {part.strip() for part in listed.split(",")}
        if operator == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    raise status.bad_request(f"unable to parse requirement: found {text!r}")


def parse_labels(text: str) -> list[Test]:
    """Requirements of a labelSelector, all of which must hold. Raises StatusError 400."""
    return [_requirement(part) for part in _COMMA.split(text) if part.strip()] if text.strip() else []


@dataclass(frozen=True, slots=True)
class FieldTest:
    path: str
    value: str
    negative: bool


KNOWN_FIELDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("", "pods"): (
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ),
    ("", "nodes"): ("spec.unschedulable",),
    ("", "namespaces"): ("status.phase",),
    ("", "secrets"): ("type",),
    ("", "services"): ("spec.clusterIP", "spec.type"),
    ("", "replicationcontrollers"): ("status.replicas",),
    ("", "events"): (
        "involvedObject.kind",
        "involvedObject.namespace",
        "involvedObject.name",
        "involvedObject.uid",
        "involvedObject.apiVersion",
        "involvedObject.resourceVersion",
        "involvedObject.fieldPath",
        "reason",
        "reportingComponent",
        "source",
        "type",
    ),
    ("apps", "replicasets"): ("status.replicas",),
    ("batch", "jobs"): ("status.successful",),
}


def parse_fields(text: str, storage: tuple[str, str], custom: bool) -> list[FieldTest]:
    """Requirements of a fieldSelector. Raises StatusError 400 for a field that the type has none of."""
    tests: list[FieldTest] = []
    known = ("metadata.name", "metadata.namespace", *KNOWN_FIELDS.get(storage, ()))
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = re.match(r"^([^=!]+?)\s*(==|=|!=)(.*)$", part)
        if match is None:
            raise status.bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        path, operator, value = match[1].strip(), match[2], match[3].strip()
        if path not in known:
            if custom:
                raise status.bad_request(f"field label not supported: {path}")
            raise status.bad_request(
                f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'
                if storage not in KNOWN_FIELDS
                else f"field label not supported: {path}"
            )
        tests.append(FieldTest(path, value, operator == "!="))
    return tests


def _look_up(obj: Any, path: str) -> str:
    if path == "source":
        path = "source.component"
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    if obj is True or obj is False:
        return str(obj).lower()
    return "" if obj is None else str(obj)


class Selection:
    """Both selectors of one request."""

    def __init__(self, labels: list[Test], fields: list[FieldTest], identity: Identity) -> None:
        self._labels = labels
        self._fields = fields
        self._identity = identity

    @property
    def everything(self) -> bool:
        return not self._labels and not self._fields

    def matches(self, row: Row) -> bool:
        labels = row.labels
        if not all(test(labels) for test in self._labels):
            return False
        if not self._fields:
            return True
        known = row.fields | {"metadata.name": row.name, "metadata.namespace": row.namespace}
        body: Any = None
        for test in self._fields:
            if test.path in known:
                value = known[test.path]
            else:
                body = body or orjson.loads(b"{" + row.body(self._identity, 0))
                value = _look_up(body, test.path)
            if (value == test.value) == test.negative:
                return False
        return True
