"""Selectors: the grammar, its errors, and a slow oracle for what they match."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.errors import BadRequest
from schema.selectors import Operator, Requirement, Selector, parse_field_selector, parse_label_selector


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("app=web", [("app", "=", ("web",))]),
        ("app == web", [("app", "=", ("web",))]),
        ("app!=web,!x", [("app", "!=", ("web",)), ("x", "!exists", ())]),
        ("x, y", [("x", "exists", ()), ("y", "exists", ())]),
        ("a in (b,c),d notin (e)", [("a", "in", ("b", "c")), ("d", "notin", ("e",))]),
        ("a in (, b)", [("a", "in", ("", "b"))]),
        ("in in (in)", [("in", "in", ("in",))]),
        ("a=,b=", [("a", "=", ("",)), ("b", "=", ("",))]),
        ("app.kubernetes.io/name=x_1.2-3", [("app.kubernetes.io/name", "=", ("x_1.2-3",))]),
    ],
)
def test_label_selectors_are_read_as_kubernetes_reads_them(
    text: str, expected: list[tuple[str, Operator, tuple[str, ...]]]
) -> None:
    assert parse_label_selector(text).requirements == tuple(Requirement(*row) for row in expected)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a,", "position 3"),
        (",a", "position 1"),
        ("a in b", "position 6"),
        ("a in (b", "position 8"),
        ("a=b c", "position 5"),
        ("a>1", "position 2"),
        ("a=b/c", "position 3"),
        ("-a=b", "position 1"),
        ("A_/b=c", "position 1"),
        ("a==b=c", "position 4"),
        ("a=" + "x" * 64, "position 3"),
    ],
)
def test_a_wrong_label_selector_is_refused_at_its_place(text: str, place: str) -> None:
    with pytest.raises(BadRequest, match=place):
        parse_label_selector(text)


@pytest.mark.parametrize(
    ("text", "path", "operator", "values"),
    [
        ("status.phase=Running", ("status", "phase"), "=", ("Running",)),
        (".status.phase!=Running", ("status", "phase"), "!=", ("Running",)),
        ("metadata.annotations['a.b/c']=d e", ("metadata", "annotations", "a.b/c"), "=", ("d e",)),
        ('metadata.annotations."a.b/c"', ("metadata", "annotations", "a.b/c"), "exists", ()),
        ("!spec.x", ("spec", "x"), "!exists", ()),
        ("spec.containers[0].image in (a:1, b:2)", ("spec", "containers", "0", "image"), "in", ("a:1", "b:2")),
        (r"a.b=x\,y\=z", ("a", "b"), "=", ("x,y=z",)),
        ("spec.nodeName=", ("spec", "nodeName"), "=", ("",)),
    ],
)
def test_field_selectors_take_any_path(
    text: str, path: tuple[str, ...], operator: str, values: tuple[str, ...]
) -> None:
    (requirement,) = parse_field_selector(text).requirements
    assert (requirement.path, requirement.operator, requirement.values) == (path, operator, values)


@pytest.mark.parametrize("text", ["a.=b", "a['b", "a[]=c", "a[x]=c", "=b", "a=b=c", "a=\\x", "a b", "a=b\0"])
def test_a_wrong_field_selector_is_refused_at_its_place(text: str) -> None:
    with pytest.raises(BadRequest, match="position"):
        parse_field_selector(text)


Term = tuple[str, str, list[str]]
KEYS = st.sampled_from(["a", "b", "c.d/e"])
VALUES = st.sampled_from(["", "x", "y", "z-1"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)
TERMS: st.SearchStrategy[Term] = st.one_of(
    st.tuples(KEYS, st.sampled_from(["=", "==", "!="]), st.lists(VALUES, min_size=1, max_size=1)),
    st.tuples(KEYS, st.sampled_from(["in", "notin"]), st.lists(VALUES, min_size=1, max_size=3)),
    st.tuples(KEYS, st.sampled_from(["exists", "!"]), st.just([])),
)


def _text(term: Term) -> str:
    key, operator, values = term
    if operator == "exists":
        return key
    if operator == "!":
        return "!" + key
    return f"{key} {operator} ({','.join(values)})" if operator.endswith("in") else f"{key}{operator}{values[0]}"


def _oracle(term: Term, labels: dict[str, str]) -> bool:
    key, operator, values = term
    if operator == "exists":
        return key in labels
    if operator == "!":
        return key not in labels
    if operator in ("=", "==", "in"):
        return key in labels and labels[key] in values
    return key not in labels or labels[key] not in values


@given(st.lists(TERMS, max_size=4), LABELS)
def test_a_selector_matches_what_the_oracle_matches(terms: list[Term], labels: dict[str, str]) -> None:
    selector = parse_label_selector(",".join(_text(term) for term in terms))
    assert selector.matches(labels) == all(_oracle(term, labels) for term in terms)


def test_an_empty_selector_matches_everything() -> None:
    assert Selector().matches(None)
    assert not Selector()
