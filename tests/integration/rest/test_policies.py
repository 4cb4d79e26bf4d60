"""Sync policies over REST."""

from __future__ import annotations

from typing import Any

import pytest

from aggregator.storage.pool import Database
from tests.integration.fleet import Fleet
from tests.integration.rest.conftest import Edge

NO_SECRETS: dict[str, Any] = {"exclude": [{"groups": [""], "resources": ["secrets"]}]}


async def open_directives(database: Database) -> list[tuple[str, str]]:
    rows = await database.readers.fetch(
        "select c.name, d.kind from fleet.directive d join fleet.cluster c on c.id = d.cluster_id "
        "where d.finished is null order by 1"
    )
    return [tuple(row) for row in rows]


async def generations(database: Database) -> dict[str, int]:
    return dict(await database.readers.fetch("select name, policy_generation from fleet.cluster"))


async def test_the_default_is_shown_whole(edge: Edge) -> None:
    policy = await edge.get("/api/v1/policy")
    assert policy["include"] == [{"groups": ["*"], "resources": ["*"]}]
    assert {"groups": ["coordination.k8s.io"], "resources": ["leases"]} in policy["exclude"]


async def test_the_fleets_policy_reaches_every_agent_at_once(edge: Edge, fleet: Fleet, database: Database) -> None:
    before = await generations(database)
    answer = await edge.ask("PUT", "/api/v1/policy", NO_SECRETS)
    assert answer.status == 200
    assert (await edge.get("/api/v1/policy"))["exclude"] == NO_SECRETS["exclude"]
    assert (await edge.get("/api/v1/clusters/east/policy"))["exclude"] == NO_SECRETS["exclude"]
    assert await open_directives(database) == [("east", "reload"), ("west", "reload")]
    assert await generations(database) == {name: generation + 1 for name, generation in before.items()}


async def test_a_clusters_own_policy_is_its_own_until_it_is_taken_back(
    edge: Edge, fleet: Fleet, database: Database
) -> None:
    await edge.ask("PUT", "/api/v1/clusters/east/policy", NO_SECRETS)
    assert await open_directives(database) == [("east", "reload")]
    await edge.ask("PUT", "/api/v1/policy", {"exclude": []})
    assert (await edge.get("/api/v1/clusters/east/policy"))["exclude"] == NO_SECRETS["exclude"]
    assert (await edge.get("/api/v1/clusters/west/policy"))["exclude"] == []
    assert (await edge.ask("DELETE", "/api/v1/clusters/east/policy")).json["exclude"] == []
    default = (await edge.ask("DELETE", "/api/v1/policy")).json
    assert (await edge.get("/api/v1/clusters/east/policy")) == default


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ({"exclude": [{"kinds": ["Secret"]}]}, "kinds"),
        ({"include": [{"labels": "a in ("}]}, "include[0].labels"),
        ({"include": "everything"}, "include"),
    ],
)
async def test_a_policy_that_cannot_be_understood_names_the_place(
    edge: Edge, fleet: Fleet, policy: dict[str, Any], says: str
) -> None:
    before = await edge.get("/api/v1/policy")
    for path in ("/api/v1/policy", "/api/v1/clusters/east/policy"):
        answer = await edge.ask("PUT", path, policy)
        assert answer.status == 400
        assert says in answer.json["detail"]
    assert await edge.get("/api/v1/policy") == before


async def test_a_preview_is_reserved_and_says_what_to_do(edge: Edge) -> None:
    answer = await edge.ask("POST", "/api/v1/policy/preview", NO_SECRETS)
    assert answer.status == 501
    assert "policy set --cluster" in answer.json["detail"]
