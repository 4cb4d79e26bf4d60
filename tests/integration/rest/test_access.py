"""Who gets in, and how refusals look."""

from __future__ import annotations

import io
import json

import pytest

from aggregator.storage.pool import Database
from tests.integration.fleet import Fleet
from tests.integration.rest.conftest import Edge


async def test_without_a_token_only_health_answers(edge: Edge) -> None:
    for path in ("/livez", "/readyz", "/healthz"):
        assert (await edge.ask("GET", path, token="")).status == 200
    for path in ("/api/v1/clusters", "/api/v1/search", "/fleet/api/v1/pods", "/openapi.json", "/nothing"):
        answer = await edge.ask("GET", path, token="")
        assert answer.status == 401, path
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "tokens create" in answer.json["message"]


async def test_a_wrong_token_and_an_agents_credential_are_not_taken(edge: Edge) -> None:
    added = await edge.post("/api/v1/clusters", {"name": "one"}, status=201)
    for token in ("fp_wrong", "x" * 5000, added["token"]):
        assert (await edge.ask("GET", "/api/v1/clusters", token=token)).status == 401


async def test_a_revoked_and_an_expired_token_say_so(edge: Edge, database: Database) -> None:
    for name in ("gone", "old"):
        await edge.token(name)
    revoked, expired = await edge.token("revoked"), await edge.token("expired", ttl=3600)
    await edge.get("/api/v1/clusters", token=revoked)
    assert (await edge.ask("DELETE", "/api/v1/tokens/revoked")).status == 204
    await database.writers.execute("update fleet.token set expires = now() - interval '1s' where name = 'expired'")
    await database.writers.execute("select pg_notify('fleet_token', '')")
    answer = await edge.ask("GET", "/api/v1/clusters", token=expired)
    assert (answer.status, "expired at" in answer.json["message"]) == (401, True)
    while (answer := await edge.ask("GET", "/api/v1/clusters", token=revoked)).status == 200:
        pass  # the notice is on its way; the cache ends within two seconds in any case
    assert (answer.status, "was revoked" in answer.json["message"]) == (401, True)


async def test_metrics_are_open_on_loopback_and_closed_to_a_limited_token(edge: Edge, fleet: Fleet) -> None:
    answer = await edge.ask("GET", "/metrics", token="")
    assert 'fleetpedia_cluster_stale{cluster="east"} 0.0' in answer.text
    limited = await edge.token("limited", clusters=["west"])
    assert (await edge.ask("GET", "/metrics", token=limited)).status == 403


async def test_a_viewer_reads_its_scope_and_manages_nothing(edge: Edge, fleet: Fleet) -> None:
    viewer = await edge.token("viewer", clusters=["east"], namespaces=["shop"])
    found = await edge.get("/api/v1/search", token=viewer, q="")
    assert {(item["cluster"], item["namespace"] or item["name"]) for item in found["items"]} == {("east", "shop")}
    assert found["count"] == {"value": 3, "exact": True}
    assert [cluster["name"] for cluster in (await edge.get("/api/v1/clusters", token=viewer))["items"]] == ["east"]
    await edge.get("/api/v1/clusters/west", token=viewer, status=404)
    await edge.get("/api/v1/objects/east/core/v1/pods/shop/web-0", token=viewer)
    await edge.get("/api/v1/objects/east/core/v1/pods/bank/web-0", token=viewer, status=404)
    await edge.get("/api/v1/objects/west/core/v1/pods/shop/web-0", token=viewer, status=404)
    for method, path in (
        ("POST", "/api/v1/clusters"),
        ("PATCH", "/api/v1/clusters/east"),
        ("DELETE", "/api/v1/clusters/east"),
        ("POST", "/api/v1/clusters/east/manifest"),
        ("POST", "/api/v1/tokens"),
        ("GET", "/api/v1/tokens"),
        ("PUT", "/api/v1/policy"),
        ("POST", "/api/v1/verify"),
        ("GET", "/api/v1/operations/1"),
    ):
        answer = await edge.ask(method, path, {"name": "x"}, token=viewer)
        assert answer.status == 403, path
        assert "viewer" in answer.json["message"]


async def test_an_admin_of_a_part_of_the_fleet_does_not_manage_it(edge: Edge, fleet: Fleet) -> None:
    token = await edge.token("partly", role="admin", clusters=["east"])
    answer = await edge.ask("POST", "/api/v1/clusters/east/pause", {}, token=token)
    assert (answer.status, "part of the fleet" in answer.json["message"]) == (403, True)


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/api/v1/clusters?size=3", 400, "'size'"),
        ("/api/v1/search?limit=0", 400, "limit"),
        ("/api/v1/search?limit=1&limit=2", 400, "more than once"),
        ("/api/v1/search?count=some", 400, "capped, none, exact"),
        ("/api/v1/search?columns=name,shoe", 400, "'shoe'"),
        ("/api/v1/search?q=kind%3A", 400, "position"),
        ("/api/v1/search?next=abc", 400, "token"),
        ("/api/v1/clusters/none", 404, "clusters list"),
        ("/api/v1/operations/x", 404, "no operation"),
        ("/api/v1/watch", 501, "watch=true"),
        ("/mcp", 501, "/api/v1/search"),
        ("/nothing", 404, "/openapi.json"),
    ],
)
async def test_refusals_are_problems_that_say_what_is_right(edge: Edge, path: str, status: int, says: str) -> None:
    answer = await edge.ask("GET", path)
    assert answer.status == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert says in answer.json["detail"]
    assert answer.json["message"] == answer.json["detail"]
    assert answer.json["requestId"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/flat/api/v1/pods", 501),
        ("/clusters/east/api/v1/pods", 501),
        ("/apis/clusterpedia.io/v1beta1/resources/api/v1/pods", 501),
        ("/fleet/api/v1/shoes", 404),
    ],
)
async def test_kubernetes_faces_answer_with_a_status(edge: Edge, path: str, status: int) -> None:
    answer = await edge.ask("GET", path)
    assert answer.status == status
    assert (answer.json["kind"], answer.json["code"]) == ("Status", status)


async def test_a_wrong_method_names_the_right_ones(edge: Edge) -> None:
    answer = await edge.ask("PUT", "/api/v1/search")
    assert answer.status == 405
    assert "GET" in answer.json["detail"]


async def test_what_goes_wrong_inside_stays_inside(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(edge.services.policies, "fleet", broken)
    answer = await edge.ask("GET", "/api/v1/policy", headers={"X-Request-Id": "mine"})
    assert answer.status == 500
    assert "42" not in answer.text
    assert "mine" in answer.json["detail"]


async def test_bodies_are_checked(edge: Edge) -> None:
    assert (await edge.ask("POST", "/api/v1/clusters", {"name": "a", "shoe": 1})).status == 400
    assert (await edge.ask("POST", "/api/v1/clusters", {"name": 5})).status == 400
    text = {"Content-Type": "text/plain"}
    assert (await edge.ask("POST", "/api/v1/clusters", headers=text, data="name: a")).status == 415
    large = json.dumps({"name": "a", "labels": {"x": "y" * 2_000_000}})
    headers = {"Content-Type": "application/json"}
    assert (await edge.ask("POST", "/api/v1/clusters", headers=headers, data=io.BytesIO(large.encode()))).status == 413


async def test_readyz_says_what_is_wrong(edge: Edge) -> None:
    answer = await edge.ask("GET", "/readyz?verbose", token="")
    assert [line[:3] for line in answer.text.splitlines()] == ["[+]"] * 3
    assert "migrations ok" in answer.text
    assert (await edge.ask("GET", "/readyz?shoe", token="")).status == 400
    await edge.services.database.close()
    answer = await edge.ask("GET", "/readyz", token="")
    assert (answer.status, "[-]database" in answer.text) == (503, True)
    assert (await edge.ask("GET", "/livez", token="")).status == 200
    answer = await edge.ask("GET", "/api/v1/search")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
