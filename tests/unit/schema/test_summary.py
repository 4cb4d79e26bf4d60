"""What the index keeps of an object beside its bytes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from schema.fields import FIELDS
from schema.printing import PRINTERS, Since
from schema.resource import PrinterColumn
from schema.summary import columns_for, summariser


def status(group: str, resource: str, obj: dict[str, Any]) -> str:
    return summariser(group, resource, "Kind")(json.dumps(obj).encode()).status


@pytest.mark.parametrize(
    ("resource", "obj", "word"),
    [
        ("pods", {"status": {"phase": "Running"}}, "Running"),
        ("pods", {"status": {"phase": "Failed", "reason": "Evicted"}}, "Evicted"),
        ("nodes", {"spec": {"unschedulable": True}}, "Unknown,SchedulingDisabled"),
        ("namespaces", {"status": {"phase": "Active"}}, "Active"),
        ("persistentvolumeclaims", {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}, "Terminating"),
        ("configmaps", {}, ""),
        ("deployments.apps", {"spec": {"replicas": 2}, "status": {"readyReplicas": 2}}, "Ready"),
        ("deployments.apps", {"status": {}}, "NotReady"),
        ("deployments.apps", {"spec": {"replicas": 0}}, "Ready"),
        ("daemonsets.apps", {"status": {"desiredNumberScheduled": 1}}, "NotReady"),
        ("jobs.batch", {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}, "Failed"),
        ("widgets.example.com", {}, ""),
    ],
)
def test_one_word_tells_how_an_object_is(resource: str, obj: dict[str, Any], word: str) -> None:
    name, _, group = resource.partition(".")
    assert status(group, name, obj) == word


@pytest.mark.parametrize(("group", "resource"), sorted(set(PRINTERS) | set(FIELDS)))
def test_summaries_hold_every_selectable_path_of_the_type(group: str, resource: str) -> None:
    pairs = summariser(group, resource, "Kind")(b"{}").fields
    assert tuple(pair.partition("=")[0] for pair in pairs) == FIELDS.get((group, resource), ())


def test_a_type_without_a_printer_shows_name_and_age() -> None:
    summary = summariser("metrics.k8s.io", "pods", "PodMetrics")(b'{"metadata":{"name":"x"}}')
    assert [column.name for column in columns_for("metrics.k8s.io", "pods")] == ["Name", "Age"]
    assert summary.cells == ["x", Since("")]


def test_a_crd_without_columns_shows_name_and_age() -> None:
    body = b'{"metadata":{"name":"x","creationTimestamp":"2026-01-01T00:00:00Z"}}'
    summary = summariser("example.com", "widgets", "Widget", [])(body)
    assert [(c.name, c.type) for c in columns_for("example.com", "widgets", [])] == [
        ("Name", "string"),
        ("Age", "date"),
    ]
    assert summary.cells == ["x", Since("2026-01-01T00:00:00Z")]


def test_a_crds_columns_and_selectable_fields_are_found_by_jsonpath() -> None:
    columns = [PrinterColumn("Color", "string", ".spec.color"), PrinterColumn("Size", "integer", ".spec.size")]
    selectable = [".spec.color", ".spec.size", ".spec.on", ".spec.none"]
    body = b'{"metadata":{"name":"x"},"spec":{"color":"red","size":3,"on":true}}'
    summary = summariser("example.com", "widgets", "Widget", columns, selectable)(body)
    assert summary.cells == ["x", "red", 3]
    assert summary.fields == ["spec.color=red", "spec.size=3", "spec.on=true", "spec.none="]


def test_a_selectable_field_that_cannot_be_found_is_empty() -> None:
    selectable = [".spec[x]", ".spec[0]"]
    summary = summariser("example.com", "widgets", "Widget", [], selectable)(b'{"spec":{}}')
    assert summary.fields == ["spec[x]=", "spec[0]="]


def test_a_column_that_cannot_be_parsed_ends_the_table() -> None:
    columns = [
        PrinterColumn("Good", "string", ".spec.color"),
        PrinterColumn("Broken", "string", ".spec[x]"),
        PrinterColumn("After", "string", ".spec.color"),
    ]
    summary = summariser("example.com", "widgets", "Widget", columns)(b'{"spec":{"color":"red"}}')
    assert [column.name for column in columns_for("example.com", "widgets", columns)] == ["Name", "Good"]
    assert summary.cells == ["", "red"]


def test_an_object_of_another_shape_is_refused_with_the_field_that_is_wrong() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"this is no Pod: Expected `array.*\$\.spec\.containers"):
        summariser("", "pods", "Pod")(b'{"spec":{"containers":3}}')


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nothing"])
@pytest.mark.parametrize("printer_columns", [None, ()])
def test_what_is_no_json_object_is_refused(body: bytes, printer_columns: tuple[PrinterColumn, ...] | None) -> None:
    with pytest.raises(msgspec.DecodeError):
        summariser("", "pods", "Pod", printer_columns)(body)


@pytest.mark.parametrize("printer_columns", [None, ()])
@pytest.mark.parametrize("name", [rb"x\ud800", b"x\xff"])
def test_what_is_no_text_is_shown_as_a_replacement_character(
    name: bytes, printer_columns: tuple[PrinterColumn, ...] | None
) -> None:
    summary = summariser("", "pods", "Pod", printer_columns)(b'{"metadata":{"name":"%s"}}' % name)
    assert summary.cells[0] == "x\ufffd"


@pytest.mark.parametrize("printer_columns", [None, ()])
def test_an_object_nested_too_deep_is_refused(printer_columns: tuple[PrinterColumn, ...] | None) -> None:
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    with pytest.raises(msgspec.DecodeError, match="nested too deep"):
        summariser("", "pods", "Pod", printer_columns)(deep)
