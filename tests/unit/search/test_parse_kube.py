"""URL parameters of the Kubernetes faces."""

from __future__ import annotations

import pytest

from aggregator.search.parse_kube import ListOptions, parse_get_options, parse_list_options
from aggregator.search.query import EVERYTHING, All, AnyOf, Expression, Field, Glob, Label, Match, Not
from schema.errors import BadRequest


def parse(**parameters: str) -> ListOptions:
    return parse_list_options({name: [value] for name, value in parameters.items()})


def g(text: str) -> Glob:
    return Glob.literal(text)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, EVERYTHING),
        ({"labelSelector": "app=web"}, Label("app", (g("web"),))),
        ({"labelSelector": "app!=web,!x"}, All((Not(Label("app", (g("web"),))), Not(Label("x"))))),
        ({"labelSelector": "a notin (b,c)"}, Not(Label("a", (g("b"), g("c"))))),
        ({"labelSelector": "fleetpedia.io/cluster in (a,b)"}, Match("cluster", (g("a"), g("b")))),
        ({"labelSelector": "fleetpedia.io/cluster!=a"}, Not(Match("cluster", (g("a"),)))),
        ({"labelSelector": "!fleetpedia.io/cluster"}, AnyOf()),
        ({"fieldSelector": "metadata.cluster=a"}, Match("cluster", (g("a"),))),
        ({"fieldSelector": "metadata.name=web"}, Match("name", (g("web"),))),
        ({"fieldSelector": "metadata.namespace!=x"}, Not(Match("namespace", (g("x"),)))),
        ({"fieldSelector": ".spec.nodeName=n"}, Field(("spec", "nodeName"), (g("n"),))),
        ({"fieldSelector": "metadata.labels['a']=b"}, Label("a", (g("b"),))),
    ],
)
def test_selectors_become_conditions(parameters: dict[str, str], expected: Expression) -> None:
    assert parse(**parameters).where == expected


def test_a_star_in_a_kubernetes_selector_is_no_wildcard() -> None:
    assert parse(fieldSelector="spec.a=x*").where == Field(("spec", "a"), (g("x*"),))


@pytest.mark.parametrize("name", ["size", "shardSelector", "cluster", "orderby", "Limit"])
def test_unknown_parameters_are_refused_by_name(name: str) -> None:
    with pytest.raises(BadRequest, match=name):
        parse_list_options({name: ["1"]})
    with pytest.raises(BadRequest, match=name):
        parse_get_options({name: ["1"]})


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "-1"},
        {"limit": "x"},
        {"watch": "maybe"},
        {"resourceVersion": "01"},
        {"resourceVersion": "x"},
        {"timeout": "5"},
        {"timeoutSeconds": "1.5"},
        {"includeObject": "All"},
        {"resourceVersionMatch": "Exact"},
        {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
        {"resourceVersionMatch": "Newer", "resourceVersion": "5"},
        {"sendInitialEvents": "true"},
        {"sendInitialEvents": "true", "watch": "true"},
        {"watch": "true", "continue": "x"},
        {"watch": "true", "resourceVersion": "5", "resourceVersionMatch": "Exact"},
        {"continue": "x", "resourceVersion": "5"},
        {"labelSelector": "a in b"},
        {"fieldSelector": "a.="},
    ],
)
def test_wrong_values_and_combinations_are_refused(parameters: dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        parse(**parameters)


def test_a_parameter_given_twice_with_two_values_is_refused() -> None:
    with pytest.raises(BadRequest, match="labelSelector"):
        parse_list_options({"labelSelector": ["a=b", "c=d"]})


def test_what_kubectl_sends_is_understood() -> None:
    options = parse(
        **{"watch": "true", "sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"},
        **{"allowWatchBookmarks": "true", "timeout": "1m30s", "timeoutSeconds": "40", "limit": "500"},
    )
    assert (options.watch, options.initial_events, options.bookmarks) == (True, True, True)
    assert (options.timeout, options.limit) == (40.0, 500)
