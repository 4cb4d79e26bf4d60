"""What a scope lets be seen, and what an actor may do."""

from __future__ import annotations

import pytest

from aggregator.rbac.identity import Actor
from aggregator.rbac.policy import POLICY, authorise
from aggregator.rbac.scope import Scope
from schema.errors import Forbidden
from schema.resource import ResourceType

DEPLOYMENTS = ResourceType("apps", "v1", "deployments", "Deployment", True)


def test_everything_is_everything() -> None:
    scope = Scope.everything()
    assert scope.allows_cluster("any")
    assert scope.allows_namespace("any")
    assert scope.allows_type(DEPLOYMENTS)


@pytest.mark.parametrize(
    ("pattern", "name", "allowed"),
    [
        ("prod-*", "prod-1", True),
        ("prod-*", "test-1", False),
        ("prod", "prod-1", False),
        ("*", "x", True),
        ("p?od", "prod", False),
        ("[a-z]*", "prod", False),
        ("a*b*c", "a-b-c", True),
    ],
)
def test_the_star_is_the_only_wildcard(pattern: str, name: str, allowed: bool) -> None:
    assert Scope(clusters=(pattern,)).allows_cluster(name) is allowed
    assert Scope(namespaces=(pattern,)).allows_namespace(name) is allowed


@pytest.mark.parametrize("kind", ["deployments", "deployments.apps", "Deployment", "deploy*"])
def test_kinds_are_named_in_several_ways(kind: str) -> None:
    assert Scope(kinds=(kind,)).allows_type(DEPLOYMENTS)


@pytest.mark.parametrize("kind", ["pods", "deployments.extensions", "deployment"])
def test_other_kinds_are_not_seen(kind: str) -> None:
    assert not Scope(kinds=(kind,)).allows_type(DEPLOYMENTS)


def test_a_viewer_does_only_what_the_table_gives_to_all() -> None:
    viewer = Actor("v", "viewer", Scope.everything())
    refused = set()
    for operation in POLICY:
        try:
            authorise(viewer, operation)
        except Forbidden:
            refused.add(operation)
    assert POLICY.keys() - refused == {
        *("getOpenApi", "listClusters", "getCluster", "search", "getObject", "watchSearch"),
    }


def test_an_admin_with_a_limited_scope_changes_nothing() -> None:
    with pytest.raises(Forbidden, match="part of the fleet"):
        authorise(Actor("a", "admin", Scope(clusters=("one",))), "removeCluster")
    authorise(Actor("a", "admin", Scope.everything()), "removeCluster")


def test_an_operation_that_nobody_put_into_the_table_is_nobodys() -> None:
    with pytest.raises(KeyError):
        authorise(Actor("a", "admin", Scope.everything()), "somethingNew")
