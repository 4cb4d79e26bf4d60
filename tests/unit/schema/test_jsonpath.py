"""The JSONPath dialect of kubectl; printer columns of a real server test the same in tests/e2e."""

from __future__ import annotations

from typing import Any

import pytest

from schema.jsonpath import JSONPath, JSONPathError, go_text

OBJECT: dict[str, Any] = {
    "spec": {
        "list": ["a", "b", "c"],
        "items": [{"n": 1, "name": "x"}, {"n": 5, "name": "y"}, {"name": "z"}],
        "labels": {"example.com/name": "dotted", "plain": "quoted"},
        "null": None,
    },
}


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        (".spec.labels.plain", ["quoted"]),
        ("$.spec.labels.plain", ["quoted"]),
        (r".spec.labels.example\.com/name", ["dotted"]),
        (r".spec.labels['example\.com/name']", ["dotted"]),
        (".spec.labels['example.com/name']", []),
        (".spec.missing.deeper", []),
        (".spec.null", [None]),
        (".spec.null.deeper", []),
        (".spec.null[0]", []),
        (".spec.list[0]", ["a"]),
        (".spec.list[-1]", ["c"]),
        (".spec.list[-2:]", ["b", "c"]),
        (".spec.list[0:0]", []),
        (".spec.list[:2]", ["a", "b"]),
        (".spec.list[::2]", ["a", "c"]),
        (".spec.list[*]", ["a", "b", "c"]),
        (".spec.list[0,2]", ["a", "c"]),
        (".spec.labels.*", ["dotted", "quoted"]),
        ("..name", ["x", "y", "z"]),
        ('.spec.items[?(@.name=="y")].n', [5]),
        (".spec.items[?(@.name!='y')].name", ["x", "z"]),
        (".spec.items[?(@.n>=5)].name", ["y"]),
        (".spec.items[?(@.n<5)].name", ["x"]),
        (".spec.items[?(@.n)].name", ["x", "y"]),
        ('.spec.items[?(@.name=="(y)")].n', []),
    ],
)
def test_results_are_those_of_kubectl(expression: str, found: list[Any]) -> None:
    assert JSONPath(expression).find(OBJECT) == found


@pytest.mark.parametrize(
    "expression",
    [".spec.list[3]", ".spec.list[2:1]", ".spec.labels[0]", ".spec.list[::-1]", ".spec.items[?(@.name>2)]", "range"],
)
def test_an_expression_that_does_not_fit_the_object_is_an_error(expression: str) -> None:
    with pytest.raises(JSONPathError):
        JSONPath(expression).find(OBJECT)


@pytest.mark.parametrize(
    "expression",
    [".a[", ".a[x]", ".a[-]", ".a[?(@.b", ".a[?(@.b)", "....", "'a", "#", "+", "[?(" * 3000],
)
def test_an_expression_that_cannot_be_parsed_is_refused(expression: str) -> None:
    with pytest.raises(JSONPathError):
        JSONPath(expression)


def test_an_object_nested_too_deep_is_an_error_and_no_crash() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5000):
        nested = {"a": nested}
    with pytest.raises(JSONPathError, match="nested too deep"):
        JSONPath("..b").find({"b": nested})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "<no value>"),
        (True, "true"),
        ("x", "x"),
        (3, "3"),
        (2**63, "9.223372036854776e+18"),
        (3.0, "3"),
        (0.1, "0.1"),
        (123456.5, "123456.5"),
        (1234567.5, "1.2345675e+06"),
        (1e21, "1e+21"),
        (0.00001, "1e-05"),
        (-0.0001, "-0.0001"),
        (0.0, "0"),
        ({"b": 1.0, "a": "<&>"}, '{"a":"\\u003c\\u0026\\u003e","b":1}'),
        ([], "[]"),
    ],
)
def test_values_are_written_as_go_writes_them(value: Any, text: str) -> None:
    assert go_text(value) == text
