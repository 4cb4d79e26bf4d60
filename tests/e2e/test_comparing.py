"""The comparison that the acceptance tests rest on finds what it must and forgives only ages."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.comparing import Type, comparable, differences, same_cell, table_differences

PODS = Type("", "v1", "pods", "Pod", True)
SECRETS = Type("", "v1", "secrets", "Secret", True)


@pytest.mark.parametrize(
    ("left", "right"),
    [("5s", "7s"), ("119s", "2m"), ("2m3s", "2m1s"), ("7 (3m ago)", "7 (4m ago)"), ("3h20m", "3h21m"), (3, 3)],
)
def test_ages_that_lie_close_together_are_the_same(left: Any, right: Any) -> None:
    assert same_cell(left, right)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("5s", "15s"),
        ("2m", "9m"),
        ("7 (3m ago)", "8 (3m ago)"),
        ("Running", "Pending"),
        (3, "3"),
        (1, True),
        ("5s", None),
    ],
)
def test_everything_else_that_differs_is_found(left: Any, right: Any) -> None:
    assert not same_cell(left, right)


def pod(**more: Any) -> dict[str, Any]:
    metadata = {"name": "a", "namespace": "b", "resourceVersion": "7", "managedFields": [1], **more.pop("metadata", {})}
    return {"metadata": metadata, **more}


def test_objects_are_equal_up_to_version_managed_fields_and_our_annotations() -> None:
    ours = {"metadata": {"resourceVersion": "9", "annotations": {"fleetpedia.io/cluster": "c1"}}}
    assert comparable(pod(), PODS) == comparable(pod(**ours), PODS)
    theirs = {"metadata": {"annotations": {"other": "x"}}}
    assert comparable(pod(), PODS) != comparable(pod(**theirs), PODS)


def test_only_the_values_of_a_secret_may_differ() -> None:
    whole, redacted = pod(data={"a": "eA=="}), pod(data={"a": ""})
    assert comparable(whole, SECRETS) == comparable(redacted, SECRETS)
    assert comparable(whole, PODS) != comparable(redacted, PODS)
    assert comparable(whole, SECRETS) != comparable(pod(data={"b": ""}), SECRETS)


def test_what_is_missing_too_much_or_different_is_named_with_its_place() -> None:
    member = {("b", "one"): {"spec": {"x": [1, 2]}}, ("b", "two"): {}}
    index = {("b", "one"): {"spec": {"x": [1, 3]}}, ("b", "three"): {}}
    found = differences(member, index)
    assert [line.split()[0] for line in found] == ["different", "ghost", "missing"]
    assert ".spec.x[1]: member '2', index '3'" in found[0]


def table(cells: list[Any], *columns: str) -> dict[str, Any]:
    row = {"cells": cells, "object": {"metadata": {"name": "a", "namespace": "b"}}}
    return {"columnDefinitions": [{"name": name, "type": "string"} for name in columns], "rows": [row]}


def test_tables_differ_in_columns_rows_and_cells() -> None:
    assert table_differences(table(["a", "5s"], "Name", "Age"), table(["a", "6s"], "Name", "Age")) == []
    assert table_differences(table(["a"], "Name"), table(["b"], "Name"))
    assert table_differences(table(["a"], "Name"), table(["a"], "Title"))
    assert table_differences(table(["a"], "Name"), {**table(["a"], "Name"), "rows": []})
    assert table_differences(table(["a", 1], "Name"), table(["a"], "Name"))
