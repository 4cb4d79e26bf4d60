"""Search and single objects over REST."""

from __future__ import annotations

from typing import Any

from openapi_spec_validator import validate

from aggregator.rbac.policy import POLICY
from aggregator.web import rest
from tests.integration.fleet import CONFIG_MAPS, PODS, Fleet, pod
from tests.integration.rest.conftest import Edge


async def test_an_item_says_what_and_where_it_is(edge: Edge, fleet: Fleet) -> None:
    found = await edge.get("/api/v1/search", q="kind:pod cluster:east ns:shop")
    [item] = found["items"]
    expected = {"cluster": "east", "type": "pods", "namespace": "shop", "name": "web-0", "kind": "Pod", "version": "v1"}
    assert expected.items() <= item.items()
    assert item["labels"] == {"app": "web"}
    assert item["status"] == "Running"
    assert found["next"] is None
    assert int(found["cursor"]) > 0
    assert found["stale"] == []
    assert found["tookMs"] >= 0


async def test_pages_follow_each_other_without_gaps_or_repeats(edge: Edge, fleet: Fleet) -> None:
    await fleet.put("east", PODS, *(pod("shop", f"p-{number:03}") for number in range(25)))
    seen, token, pages = [], None, 0
    while token or not pages:
        query: dict[str, Any] = {"q": "kind:pod", "limit": "10", **({"next": token} if token else {})}
        page = await edge.get("/api/v1/search", **query)
        assert page["count"] == {"value": 29, "exact": True}
        seen += [(item["cluster"], item["namespace"], item["name"]) for item in page["items"]]
        token, pages = page["next"], pages + 1
    assert (pages, len(seen), len(set(seen))) == (3, 29, 29)
    wrong = await edge.ask("GET", "/api/v1/search", params={"q": "kind:configmap", "next": page["next"] or "AAAA"})
    assert wrong.status == 400


async def test_counts_are_capped_exact_or_left_out(edge: Edge, fleet: Fleet) -> None:
    many = [{"metadata": {"namespace": "shop", "name": f"m-{number}"}} for number in range(1100)]
    for start in range(0, len(many), 500):
        await fleet.put("east", CONFIG_MAPS, *many[start : start + 500])
    asked: dict[str, Any] = {"q": "name:m-*", "limit": "1"}
    assert (await edge.get("/api/v1/search", **asked))["count"] == {"value": 1000, "exact": False}
    assert (await edge.get("/api/v1/search", **asked, count="exact"))["count"] == {"value": 1100, "exact": True}
    assert (await edge.get("/api/v1/search", **asked, count="none"))["count"] is None


async def test_columns_choose_and_bring_the_whole_object(edge: Edge, fleet: Fleet) -> None:
    query: dict[str, Any] = {"q": "kind:configmap cluster:east ns:shop", "columns": "name,object"}
    [item] = (await edge.get("/api/v1/search", **query))["items"]
    assert set(item) == {"name", "object"}
    assert item["object"]["data"] == {"a": "b"}
    assert item["object"]["metadata"]["annotations"]["fleetpedia.io/cluster"] == "east"


async def test_one_object_whole(edge: Edge, fleet: Fleet) -> None:
    found = await edge.get("/api/v1/objects/east/core/v1/configmaps/shop/config")
    assert (found["kind"], found["data"]) == ("ConfigMap", {"a": "b"})
    assert found["metadata"]["annotations"]["fleetpedia.io/cluster"] == "east"
    namespace = await edge.get("/api/v1/objects/west/core/v1/namespaces/-/shop")
    assert namespace["kind"] == "Namespace"
    for path in (
        "east/core/v1/configmaps/shop/none",
        "east/core/v1/configmaps/-/config",
        "east/apps/v1/configmaps/shop/config",
        "none/core/v1/configmaps/shop/config",
        "east/core/v1/namespaces/shop/shop",
    ):
        await edge.get(f"/api/v1/objects/{path}", status=404)


async def test_a_stale_object_is_served_with_a_warning(edge: Edge, fleet: Fleet) -> None:
    await fleet.database.writers.execute("update fleet.cluster set member_seen = now() - interval '5 minutes'")
    await edge.services.catalog.refresh()
    answer = await edge.ask("GET", "/api/v1/objects/east/core/v1/configmaps/shop/config")
    assert answer.status == 200
    assert "cluster east last synced 5m" in answer.headers["Warning"]


async def test_openapi_describes_every_operation_and_is_valid(edge: Edge) -> None:
    document = await edge.get("/openapi.json")
    validate(document)
    described = {
        (method.upper(), path, operation["operationId"])
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    table = {(one.method, one.path, one.id) for one in rest.operations(edge.services)}
    assert described == table
    served = {
        (route.method, route.resource.canonical)
        for route in edge.client.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith(("/api/v1/", "/openapi"))
    }
    assert {(method, path) for method, path, _ in described} == {pair for pair in served if pair[0] != "HEAD"}
    assert {id for _, _, id in described} == set(POLICY)


async def test_answers_are_as_openapi_says(edge: Edge, fleet: Fleet) -> None:
    """Spot check of required members; the types are made by the same structs."""
    document = await edge.get("/openapi.json")
    schemas = document["components"]["schemas"]
    cluster = await edge.get("/api/v1/clusters/east")
    assert set(schemas["ClusterView"]["required"]) <= set(cluster) <= set(schemas["ClusterView"]["properties"])
    result = await edge.get("/api/v1/search", q="kind:pod")
    assert set(schemas["SearchResult"]["required"]) <= set(result)
    assert set(schemas["Item"]["required"]) <= set(result["items"][0])
