"""Lists, single objects, discovery and refusals of the Kubernetes faces."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from aggregator.rbac.scope import Scope
from tests.integration.fleet import PODS, WIDGETS, Fleet, pod
from tests.integration.kube.conftest import Client, Services

TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
METADATA = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"}
PODS_PATH = "/fleet/api/v1/pods"

pytestmark = pytest.mark.usefixtures("fleet")


async def get(client: Client, path: str, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    async with client.get(path, headers=headers) as response:
        body = await response.json(content_type=None)
        assert response.status == status, body
        return body


def names(body: dict[str, Any]) -> list[tuple[str, str]]:
    """(cluster, name) of the items."""
    found = [item["metadata"] for item in body["items"]]
    return [(item["annotations"]["fleetpedia.io/cluster"], item["name"]) for item in found]


async def test_an_object_says_where_it_is_and_keeps_the_members_version(client: Client) -> None:
    body = await get(client, f"{PODS_PATH}?fieldSelector=metadata.name=db")
    assert (body["kind"], body["apiVersion"]) == ("PodList", "v1")
    (item,) = body["items"]
    assert (item["kind"], item["apiVersion"], item["spec"]["nodeName"]) == ("Pod", "v1", "n2")
    assert item["metadata"]["annotations"] == {
        "fleetpedia.io/cluster": "west",
        "fleetpedia.io/resource-version": "106",
        "shadow.clusterpedia.io/cluster-name": "west",
    }
    assert int(item["metadata"]["resourceVersion"]) <= int(body["metadata"]["resourceVersion"])


async def test_pages_carry_the_first_pages_version_and_miss_nothing(client: Client, fleet: Fleet) -> None:
    first = await get(client, f"{PODS_PATH}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    await fleet.put("east", PODS, pod("aaa", "before"), pod("zzz", "after"))
    second = await get(client, f"{PODS_PATH}?limit=2&continue={first['metadata']['continue']}")
    assert "remainingItemCount" not in second["metadata"]
    third = await get(client, f"{PODS_PATH}?limit=2&continue={second['metadata']['continue']}")
    assert "continue" not in third["metadata"]
    assert len({page["metadata"]["resourceVersion"] for page in (first, second, third)}) == 1
    assert [name for page in (first, second, third) for name in names(page)] == [
        *(("east", "job"), ("west", "job"), ("west", "db"), ("east", "web"), ("west", "web"), ("east", "after"))
    ]


async def test_a_bad_token_is_400_and_one_of_another_question_too(client: Client) -> None:
    token = (await get(client, f"{PODS_PATH}?limit=2"))["metadata"]["continue"]
    assert (await get(client, f"{PODS_PATH}?continue=xyz", 400))["reason"] == "BadRequest"
    await get(client, f"{PODS_PATH}?continue={token}&labelSelector=app=web", 400)


async def test_a_token_older_than_the_change_log_is_410(client: Client, services: Services) -> None:
    token = (await get(client, f"{PODS_PATH}?limit=2"))["metadata"]["continue"]
    services.engine.feed.floor = 10_000
    assert (await get(client, f"{PODS_PATH}?continue={token}", 410))["reason"] == "Expired"


async def test_a_whole_answer_is_streamed_and_one_too_large_is_refused(
    client: Client, fleet: Fleet, services: Services
) -> None:
    await fleet.put("east", PODS, *(pod("many", f"p{number:04}") for number in range(450)))
    body = await get(client, f"{PODS_PATH}?fieldSelector=metadata.namespace=many")
    assert [name for _, name in names(body)] == [f"p{number:04}" for number in range(450)]
    services.engine.max_list_rows = 400
    refused = await get(client, PODS_PATH, 400)
    assert "limit" in refused["message"]
    await get(client, f"{PODS_PATH}?fieldSelector=metadata.namespace=shop")


async def test_a_page_ends_early_rather_than_grow_too_large(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregator.search.run.MAX_PAGE_BYTES", 300)
    body = await get(client, f"{PODS_PATH}?limit=5")
    assert 0 < len(body["items"]) < 5
    assert body["metadata"]["continue"]


async def test_metadata_only_and_the_parts_of_a_table(client: Client) -> None:
    body = await get(client, PODS_PATH, headers=METADATA)
    assert body["kind"] == "PartialObjectMetadataList"
    assert {frozenset(item) for item in body["items"]} == {frozenset(("kind", "apiVersion", "metadata"))}
    table = await get(client, f"{PODS_PATH}?includeObject=None", headers=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]][:3] == ["Cluster", "Name", "Ready"]
    assert table["rows"][0]["object"] is None
    table = await get(client, f"{PODS_PATH}?includeObject=Object", headers=TABLE)
    assert table["rows"][0]["object"]["spec"]["nodeName"] == "n1"
    table = await get(client, PODS_PATH, headers=TABLE)
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


async def test_columns_of_custom_resources_are_merged_by_name(client: Client, fleet: Fleet, services: Services) -> None:
    from msgspec.structs import replace

    from schema.resource import PrinterColumn

    older = replace(WIDGETS, columns=(PrinterColumn("Shape", "string", ".spec.shape"), WIDGETS.columns[0]))  # type: ignore[index]
    await fleet.add("older", older)
    await fleet.put(
        "older", older, {"metadata": {"namespace": "shop", "name": "o"}, "spec": {"shape": "round", "color": "blue"}}
    )
    await services.catalog.refresh()
    table = await get(client, "/fleet/apis/example.com/v1/widgets", headers=TABLE)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Cluster", "Name", "Color", "Size", "Shape"]
    assert [row["cells"] for row in table["rows"]] == [
        ["older", "o", "blue", None, "round"],
        ["west", "w", "red", 3, None],
    ]


async def test_a_type_of_another_scope_is_left_off_the_fleet_with_a_warning(
    client: Client, fleet: Fleet, services: Services
) -> None:
    from msgspec.structs import replace

    other = replace(WIDGETS, namespaced=False)
    await fleet.add("odd", other)
    await fleet.put("odd", other, {"metadata": {"name": "global"}})
    await services.catalog.refresh()
    async with client.get("/fleet/apis/example.com/v1/widgets") as response:
        assert names(await response.json()) == [("west", "w")]
        assert "another kind or scope" in response.headers["Warning"]
    body = await get(client, "/fleet/clusters/odd/apis/example.com/v1/widgets")
    assert names(body) == [("odd", "global")]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("labelSelector=app!=web", 3),
        ("labelSelector=!app", 2),
        ("labelSelector=app notin (web,db)", 2),
        ("labelSelector=app in (web,db)", 3),
        ("labelSelector=fleetpedia.io/cluster in (east)", 2),
        ("labelSelector=fleetpedia.io/cluster!=east", 3),
        ("fieldSelector=status.phase!=Failed", 3),
        ("fieldSelector=metadata.cluster=east,status.phase=Failed", 1),
        ("fieldSelector=spec.containers[0].image=nginx:1.27", 5),
        ("fieldSelector=spec.containers[0].image!=nginx:1.27", 0),
        ("fieldSelector=spec.nodeName in (n2,n3)", 1),
        ("fieldSelector=metadata.uid!=x", 5),
        ("fieldSelector=spec.hostname", 0),
        ("fieldSelector=!spec.hostname", 5),
    ],
)
async def test_selectors(client: Client, selector: str, expected: int) -> None:
    assert len((await get(client, f"{PODS_PATH}?{selector}"))["items"]) == expected


@pytest.mark.parametrize(("operator", "expected"), [("=", 0), ("!=", 5)])
async def test_a_path_that_no_object_has_is_answered_with_a_warning(
    client: Client, operator: str, expected: int
) -> None:
    async with client.get(f"{PODS_PATH}?fieldSelector=spec.nope{operator}x") as response:
        assert len((await response.json())["items"]) == expected
        assert "spec.nope" in response.headers["Warning"]


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        (f"{PODS_PATH}?size=5", 400, "size"),
        (f"{PODS_PATH}?shardSelector=x", 400, "shardSelector"),
        (f"{PODS_PATH}?labelSelector=a in b", 400, "position"),
        (f"{PODS_PATH}?labelSelector=fleetpedia.io/cluster=eest", 400, "did you mean"),
        (f"{PODS_PATH}?resourceVersion=1&resourceVersionMatch=Exact", 410, "only the present"),
        ("/fleet/clusters/nowhere/api/v1/pods", 404, "nowhere"),
        ("/fleet/api/v1/gadgets", 404, "gadgets"),
        ("/fleet/apis/apps/v1beta1/deployments", 404, "served in version v1"),
        ("/fleet/api/v1/namespaces/shop/pods/nope", 404, 'pods "nope" not found'),
        ("/fleet/api/v1/namespaces/shop/pods/web/log", 404, "subresources"),
        ("/fleet/api/v1/watch/pods", 400, "watch=true"),
        ("/fleet/api/v1/namespaces/shop/nodes", 404, "no namespaces"),
        ("/fleet/api/v1/namespaces/shop/pods/web", 409, "fleet/east"),
        ("/fleet/openapi/v2", 404, "read-only"),
        ("/flat/api/v1/pods", 501, "/fleet"),
        ("/clusters/east/api/v1/pods", 501, "/fleet/clusters/east"),
    ],
)
async def test_refusals_say_what_is_wrong(client: Client, path: str, status: int, said: str) -> None:
    body = await get(client, path, status)
    assert body["kind"] == "Status"
    assert body["code"] == status
    assert said in body["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_writes_are_405(client: Client, method: str) -> None:
    async with client.request(method, "/fleet/clusters/east/api/v1/namespaces/shop/pods/web") as response:
        body = await response.json()
        assert (response.status, body["reason"]) == (405, "MethodNotAllowed")
        assert "--context east" in body["message"]


async def test_an_excluded_type_names_the_policy_line(client: Client, fleet: Fleet, services: Services) -> None:
    from aggregator.storage import types
    from schema.wire import GoneType

    reason = "the sync policy excludes leases.coordination.k8s.io (exclude[0])"
    async with fleet.database.writers.acquire() as connection:
        gone = GoneType("coordination.k8s.io", "v1", "leases", "Excluded", reason)
        await types.set_gone(connection, fleet.members["east"].id, [gone])
    await services.catalog.refresh()
    body = await get(client, "/fleet/apis/coordination.k8s.io/v1/leases", 404)
    assert "exclude[0]" in body["message"]
    assert "coordination" not in str(await get(client, "/fleet/apis"))


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "PodList"),
        ("*/*", "PodList"),
        ("application/vnd.kubernetes.protobuf,application/json", "PodList"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io;q=0.5,application/json;q=0.9", "PodList"),
        ("application/json;q=0.1,application/json;as=Table;v=v1;g=meta.k8s.io", "Table"),
        ("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", "PodList"),
    ],
)
async def test_the_form_is_the_best_that_the_client_takes(client: Client, accept: str, kind: str) -> None:
    assert (await get(client, PODS_PATH, headers={"Accept": accept}))["kind"] == kind


async def test_no_form_that_fits_is_406(client: Client) -> None:
    await get(client, PODS_PATH, 406, headers={"Accept": "application/yaml"})
    await get(client, "/fleet/apis", 406, headers={"Accept": "text/html"})


async def test_head_has_the_head_only(client: Client) -> None:
    async with client.head(PODS_PATH) as response:
        assert response.status == 200
        assert await response.read() == b""


@pytest.mark.parametrize("version", ["v2", "v2beta1"])
async def test_aggregated_discovery_with_etag(client: Client, version: str) -> None:
    accept = f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList,application/json"
    async with client.get("/fleet/apis", headers={"Accept": accept}) as response:
        assert f"v={version}" in response.headers["Content-Type"]
        body = await response.json(content_type=None)
        etag = response.headers["ETag"]
    assert body["apiVersion"] == f"apidiscovery.k8s.io/{version}"
    (widgets,) = next(item for item in body["items"] if item["metadata"]["name"] == "example.com")["versions"]
    assert widgets["resources"][0]["verbs"] == ["get", "list", "watch"]
    async with client.get("/fleet/apis", headers={"Accept": accept, "If-None-Match": etag}) as response:
        assert response.status == 304
        assert await response.read() == b""


async def test_stale_clusters_are_warned_of_five_at_most(client: Client, fleet: Fleet, services: Services) -> None:
    for number in range(7):
        await fleet.add(f"old-{number}", PODS)
    async with fleet.database.writers.acquire() as connection:
        await connection.execute("update fleet.cluster set member_seen = now() - interval '10 min' where name ~ 'old'")
    await services.catalog.refresh()
    async with client.get(PODS_PATH) as response:
        texts = response.headers.getall("Warning")
    assert texts[0] == '299 - "cluster old-0 last synced 10m ago"'
    assert len(texts) == 6
    assert "2 more clusters" in texts[-1]


async def test_what_the_scope_hides_is_not_there(client: Client, fleet: Fleet, services: Services) -> None:
    services.identity.scope = Scope(clusters=("ea*",))
    assert {cluster for cluster, _ in names(await get(client, PODS_PATH))} == {"east"}
    await get(client, "/fleet/clusters/west/api/v1/pods", 404)
    await get(client, f"{PODS_PATH}?labelSelector=fleetpedia.io/cluster=west", 400)
    assert (await get(client, f"{PODS_PATH}?limit=1"))["metadata"]["remainingItemCount"] == 1
    services.identity.scope = Scope(namespaces=("shop",))
    assert {name for _, name in names(await get(client, PODS_PATH))} == {"web", "db"}
    assert "remainingItemCount" not in (await get(client, f"{PODS_PATH}?limit=1"))["metadata"]
    assert {name for _, name in names(await get(client, "/fleet/api/v1/namespaces"))} == {"shop"}
    assert (await get(client, "/fleet/api/v1/nodes"))["items"] == []
    services.identity.scope = Scope(kinds=("configmaps",))
    await get(client, PODS_PATH, 404)
    assert "pods" not in str(await get(client, "/fleet/api/v1"))


async def test_pretty_is_indented_and_the_same(client: Client) -> None:
    for path in (f"{PODS_PATH}?limit=2", "/fleet/api/v1/namespaces/shop/pods/db"):
        plain = await get(client, path)
        async with client.get(f"{path}{'&' if '?' in path else '?'}pretty=true") as response:
            text = await response.text()
        assert "\n  " in text
        assert orjson.loads(text) == plain


async def test_a_timeout_that_was_asked_for_is_kept(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> int:
        await asyncio.Event().wait()
        return 0

    monkeypatch.setattr(services.engine.feed, "watermark", never)
    body = await get(client, f"{PODS_PATH}?timeout=100ms", 503)
    assert "0.1 s" in body["message"]
