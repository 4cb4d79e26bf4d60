"""What a limited token cannot learn: every face is asked for what its scope hides."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import msgspec
import pytest
from yarl import URL

from schema.resource import PrinterColumn, ResourceType
from tests.integration.fleet import PODS, WIDGETS, Fleet, pod
from tests.integration.rest.conftest import Edge
from tests.integration.waiting import until

SECRET = "classified"


PATHS = (
    "/fleet/api/v1/pods",
    "/fleet/api/v1/pods?limit=1",
    "/fleet/api/v1/namespaces/shop/pods/web-0",
    "/fleet/apis",
    "/fleet/apis/example.com",
    "/fleet/apis/example.com/v1",
    "/fleet/apis/example.com/v1/widgets",
    "/fleet/apis/hidden.example.com/v1/gadgets",
    "/fleet/api/v1/pods?watch=1&timeoutSeconds=1",
    "/fleet/api/v1/pods?labelSelector=fleetpedia.io/cluster!%3Deast",
    "/fleet/api/v1/pods?fieldSelector=metadata.cluster!%3Deast",
    "/fleet/api/v1/pods?fieldSelector=metadata.cluster%20notin%20(east)",
    "/fleet/version",
    "/api/v1/clusters",
    "/api/v1/search",
    "/api/v1/search?count=exact&limit=1",
    "/api/v1/search?q=-cluster:east",
    "/api/v1/search?q=kind:gadgt",
    "/api/v1/search?q=cluster:class",
)
GADGETS = ResourceType("hidden.example.com", "v1", "gadgets", "Gadget", True, "gadget", columns=())


async def hidden_cluster(edge: Edge, fleet: Fleet) -> None:
    """A cluster `classified` with a type of its own, a column of its own and a pod that others have too."""
    others = msgspec.structs.replace(WIDGETS, columns=(PrinterColumn(SECRET, "string", ".spec.color"),))
    await fleet.serve("east", WIDGETS)
    await fleet.add(SECRET, PODS, others, GADGETS, labels={"env": SECRET})
    await fleet.put(SECRET, PODS, pod("shop", "web-0", {"app": SECRET}), pod("shop", SECRET))
    await fleet.put(SECRET, others, {"metadata": {"namespace": "shop", "name": SECRET}, "spec": {"color": "red"}})
    await edge.services.catalog.refresh()


async def told(edge: Edge, token: str, path: str) -> str:
    """All that is said there, in both forms, without the words of the question."""
    answers = []
    for accept in ("application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"):
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        async with edge.client.get(URL(path, encoded=True), headers=headers) as answer:
            answers.append(f"{answer.status} {dict(answer.headers)} {await answer.text()}")
    return " ".join(answers).replace("gadgets.hidden.example.com in v1", "").replace('"kind":"gadgets"', "")


@pytest.mark.parametrize("path", PATHS)
async def test_a_hidden_cluster_is_nowhere(edge: Edge, fleet: Fleet, path: str) -> None:
    await hidden_cluster(edge, fleet)
    shown = (await told(edge, await edge.token("limited", clusters=["east", "west"]), path)).lower()
    assert SECRET not in shown
    assert "gadget" not in shown.replace('"kind":"gadgets"', "").replace("kind:gadgt", "").replace(
        '"group":"hidden', ""
    )


async def test_names_of_a_hidden_cluster_are_unknown_and_uncounted(edge: Edge, fleet: Fleet) -> None:
    await hidden_cluster(edge, fleet)
    token = await edge.token("limited", clusters=["east", "west"])
    for asked in (f"cluster:{SECRET}", "kind:gadget"):
        answer = await edge.ask("GET", "/api/v1/search", token=token, params={"q": asked})
        kind, name = asked.split(":")
        assert answer.status == 400
        assert answer.json["message"].startswith(f"unknown {kind} {name!r}")
    assert (await edge.get("/api/v1/search", token=token, q="kind:pod", count="exact", limit=1))["count"]["value"] == 4
    page = await edge.get("/fleet/api/v1/pods", token=token, limit=1)
    assert page["metadata"]["remainingItemCount"] == 3


async def test_hidden_namespaces_are_not_counted(edge: Edge, fleet: Fleet) -> None:
    token = await edge.token("limited", namespaces=["shop"])
    page = await edge.get("/fleet/api/v1/pods", token=token, limit=1)
    assert "remainingItemCount" not in page["metadata"]
    for cluster in (await edge.get("/api/v1/clusters", token=token))["items"]:
        assert [cluster[name] for name in ("objects", "rejectedObjects", "nodes", "pods", "allocatable")] == [None] * 5
        assert {(type["count"], type["rejected"]) for type in cluster["types"]} == {(None, None)}
    assert (await edge.get("/api/v1/search", token=token, q="", count="exact"))["count"]["value"] == 6


async def test_hidden_kinds_are_not_counted(edge: Edge, fleet: Fleet) -> None:
    token = await edge.token("limited", kinds=["configmaps"])
    for cluster in (await edge.get("/api/v1/clusters", token=token))["items"]:
        assert [type["type"] for type in cluster["types"]] == ["configmaps"]
        assert (cluster["objects"], cluster["nodes"], cluster["pods"]) == (2, None, None)


async def test_a_continue_token_of_another_shows_nothing_more(edge: Edge, fleet: Fleet) -> None:
    token = await edge.token("limited", clusters=["east"], namespaces=["shop"])
    page = await edge.get("/fleet/api/v1/pods", limit=1)
    rest = await edge.get("/fleet/api/v1/pods", token=token, limit=10, **{"continue": page["metadata"]["continue"]})
    found = [item["metadata"] for item in rest["items"]]
    where = {(item["namespace"], item["annotations"]["fleetpedia.io/cluster"]) for item in found}
    assert where == {("shop", "east")}


async def watched(edge: Edge, token: str, path: str, act: Any) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token}"}
    async with edge.client.get(path, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        await act()
        return [json.loads(line) async for line in answer.content]


async def test_a_watch_shows_nothing_hidden_coming_changing_or_going(edge: Edge, fleet: Fleet) -> None:
    token = await edge.token("limited", clusters=["east"], namespaces=["shop"])
    cursor = (await edge.get("/fleet/api/v1/pods", token=token))["metadata"]["resourceVersion"]

    async def act() -> None:
        for cluster, namespace in (("west", "shop"), ("east", "bank")):
            await fleet.put(cluster, PODS, pod(namespace, SECRET, {"app": "web"}))
            await fleet.put(cluster, PODS, pod(namespace, SECRET, {"app": "other"}))
            await fleet.delete(cluster, PODS, (namespace, SECRET))
        await fleet.put("east", PODS, pod("shop", "seen", {"app": "web"}))

    path = f"/fleet/api/v1/pods?watch=1&resourceVersion={cursor}&timeoutSeconds=2&labelSelector=app%3Dweb"
    events = await watched(edge, token, path, act)
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [("ADDED", "seen")]


async def test_a_watch_ends_within_two_seconds_of_its_tokens_revocation(edge: Edge, fleet: Fleet) -> None:
    token = await edge.token("limited")
    stopped = asyncio.Event()

    async def busy() -> None:
        while not stopped.is_set():
            await fleet.put("east", PODS, pod("shop", "busy", {"app": "web"}))
            await asyncio.sleep(0.1)

    task = asyncio.create_task(busy())
    headers = {"Authorization": f"Bearer {token}"}
    async with edge.client.get("/fleet/api/v1/pods?watch=1&timeoutSeconds=60", headers=headers) as answer:
        await answer.content.readline()
        await edge.ask("DELETE", "/api/v1/tokens/limited")
        begun = time.monotonic()
        async for _ in answer.content:
            pass
        took = time.monotonic() - begun
    stopped.set()
    await task
    assert took < 2.0


async def test_discovery_is_for_its_caller_alone(edge: Edge, fleet: Fleet) -> None:
    answer = await edge.ask("GET", "/fleet/apis")
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = await edge.ask("GET", "/fleet/apis", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304


async def test_metrics_need_a_token_where_a_proxy_hands_the_request_on(edge: Edge) -> None:
    answer = await edge.ask("GET", "/metrics", token="", headers={"X-Forwarded-For": "10.0.0.9"})
    assert answer.status == 401


async def test_a_rotated_credential_is_void_within_two_seconds(edge: Edge) -> None:
    credential = (await edge.post("/api/v1/clusters", {"name": "one"}, status=201))["token"]
    headers = {"Authorization": f"Bearer {credential}"}

    async def status() -> int:
        async with edge.client.post("/agent/v1/heartbeat", data=b"x", headers=headers) as answer:
            return answer.status

    assert await status() == 415
    await edge.post("/api/v1/clusters/one/rotate")
    begun = time.monotonic()
    while await status() != 401:
        assert time.monotonic() - begun < 2.2
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("scope", [{}, {"clusters": ["east", "west"]}, {"clusters": ["e*", "w*"]}, {"kinds": ["pods"]}])
async def test_a_watch_from_before_a_removal_lists_anew(edge: Edge, fleet: Fleet, scope: dict[str, list[str]]) -> None:
    """Also where the watch begins again after it: else what the cluster had stays with the client for ever."""
    token, other = await edge.token("limited", **scope), await edge.token("other", clusters=["west"])
    cursor = (await edge.get("/fleet/api/v1/pods", token=token))["metadata"]["resourceVersion"]
    await edge.ask("DELETE", "/api/v1/clusters/east")
    await until(lambda: "east" not in edge.services.catalog.clusters)
    path = f"/fleet/api/v1/pods?watch=1&resourceVersion={cursor}&timeoutSeconds=3"
    (event,) = await watched(edge, token, path, lambda: asyncio.sleep(0))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert await watched(edge, other, path, lambda: asyncio.sleep(0)) == []
