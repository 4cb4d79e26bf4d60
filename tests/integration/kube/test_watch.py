"""Watches: where they begin, what they send, how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from aggregator.rbac.scope import Scope
from tests.integration.fleet import NODES, PODS, Fleet, pod
from tests.integration.kube.conftest import Client, Services

PODS_PATH = "/fleet/api/v1/pods"
pytestmark = pytest.mark.usefixtures("fleet")


class Events:
    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self._lines = lines

    async def next(self) -> dict[str, Any]:
        line = await asyncio.wait_for(anext(self._lines), 10)
        event: dict[str, Any] = orjson.loads(line)
        return event

    async def take(self, count: int) -> list[tuple[str, str, str]]:
        """(type, cluster, name) of that many events."""
        return [brief(await self.next()) for _ in range(count)]

    async def rest(self) -> list[dict[str, Any]]:
        return [orjson.loads(line) async for line in self._lines]


def brief(event: dict[str, Any]) -> tuple[str, str, str]:
    metadata = event["object"]["metadata"]
    return event["type"], metadata["annotations"]["fleetpedia.io/cluster"], metadata["name"]


def version(event: dict[str, Any]) -> int:
    return int(event["object"]["metadata"]["resourceVersion"])


@asynccontextmanager
async def watching(client: Client, query: str = "", path: str = PODS_PATH, **headers: str) -> AsyncIterator[Events]:
    async with client.get(f"{path}?watch=true&{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Events(response.content.__aiter__())


async def now(client: Client, path: str = PODS_PATH) -> int:
    async with client.get(f"{path}?limit=1") as response:
        return int((await response.json())["metadata"]["resourceVersion"])


@pytest.mark.parametrize("query", ["", "resourceVersion=0"])
async def test_without_a_version_what_is_there_comes_first(client: Client, fleet: Fleet, query: str) -> None:
    async with watching(client, f"{query}&fieldSelector=metadata.namespace=shop") as events:
        assert await events.take(3) == [("ADDED", "west", "db"), ("ADDED", "east", "web"), ("ADDED", "west", "web")]
        await fleet.delete("west", PODS, ("shop", "db"))
        assert await events.take(1) == [("DELETED", "west", "db")]


async def test_from_a_version_only_what_came_after(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    await fleet.put("east", PODS, pod("shop", "new"))
    await fleet.put("east", PODS, pod("shop", "new", phase="Failed"))
    async with watching(client, f"resourceVersion={start}") as events:
        first, second = await events.next(), await events.next()
    assert [brief(first), brief(second)] == [("ADDED", "east", "new"), ("MODIFIED", "east", "new")]
    assert start < version(first) < version(second)
    assert second["object"]["status"]["phase"] == "Failed"


async def test_an_objects_version_goes_on_where_the_watch_was_cut(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    await fleet.put("east", PODS, pod("shop", "a"), pod("shop", "b"))
    async with watching(client, f"resourceVersion={start}") as events:
        seen = version(await events.next())
    async with watching(client, f"resourceVersion={seen}") as events:
        assert await events.take(1) == [("ADDED", "east", "b")]


async def test_entering_and_leaving_a_selection(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    async with watching(client, f"resourceVersion={start}&labelSelector=app=web,tier!=x") as events:
        await fleet.put("west", PODS, pod("shop", "db", {"app": "web"}))
        assert await events.take(1) == [("ADDED", "west", "db")]
        await fleet.put("west", PODS, pod("shop", "db", {"app": "web", "more": "y"}))
        assert await events.take(1) == [("MODIFIED", "west", "db")]
        await fleet.put("west", PODS, pod("shop", "db", {"app": "web", "tier": "x"}))
        assert await events.take(1) == [("DELETED", "west", "db")]
        await fleet.delete("west", PODS, ("shop", "db"))
        await fleet.put("east", PODS, pod("shop", "last", {"app": "web"}))
        assert await events.take(1) == [("ADDED", "east", "last")]


async def test_an_object_that_left_the_selection_and_vanished_is_deleted_all_the_same(
    client: Client, fleet: Fleet
) -> None:
    start = await now(client)
    await fleet.put("east", PODS, pod("shop", "web", {"app": "other"}))
    await fleet.delete("east", PODS, ("shop", "web"))
    async with watching(client, f"resourceVersion={start}&labelSelector=app=web") as events:
        event = await events.next()
    assert brief(event) == ("DELETED", "east", "web")
    assert event["object"]["spec"]["nodeName"] == "n1"


async def test_field_selectors_before_and_after(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    async with watching(client, f"resourceVersion={start}&fieldSelector=status.phase=Failed") as events:
        await fleet.put("east", PODS, pod("shop", "web", phase="Failed"))
        assert await events.take(1) == [("ADDED", "east", "web")]
        await fleet.put("east", PODS, pod("shop", "web"))
        assert await events.take(1) == [("DELETED", "east", "web")]


async def test_delete_and_recreate_is_deleted_then_added(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    await fleet.delete("west", PODS, ("shop", "db"))
    await fleet.put("west", PODS, pod("shop", "db"))
    async with watching(client, f"resourceVersion={start}") as events:
        gone, made = await events.next(), await events.next()
    assert [brief(gone), brief(made)] == [("DELETED", "west", "db"), ("ADDED", "west", "db")]
    assert gone["object"]["metadata"]["uid"] != made["object"]["metadata"]["uid"]


async def test_tables_and_metadata(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    await fleet.put("east", PODS, pod("shop", "new"), pod("shop", "newer"))
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    async with watching(client, f"resourceVersion={start}", Accept=accept) as events:
        first, second = (await events.next())["object"], (await events.next())["object"]
    assert (first["kind"], first["columnDefinitions"][0]["name"]) == ("Table", "Cluster")
    assert first["rows"][0]["cells"][:2] == ["east", "new"]
    assert second["columnDefinitions"] is None
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with watching(client, f"resourceVersion={start}", Accept=accept) as events:
        found = (await events.next())["object"]
    assert (found["kind"], "spec" in found) == ("PartialObjectMetadata", False)


async def test_watch_list_sends_all_then_a_bookmark_then_changes(client: Client, fleet: Fleet) -> None:
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    async with watching(client, f"{query}&labelSelector=app=web") as events:
        assert await events.take(2) == [("ADDED", "east", "web"), ("ADDED", "west", "web")]
        bookmark = await events.next()
        assert bookmark["type"] == "BOOKMARK"
        assert bookmark["object"]["kind"] == "Pod"
        assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
        await fleet.put("east", PODS, pod("shop", "web2", {"app": "web"}))
        event = await events.next()
        assert brief(event) == ("ADDED", "east", "web2")
        assert version(event) > version(bookmark)


async def test_bookmarks_only_where_asked_for(client: Client, fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aggregator.web.kube.watch.BOOKMARK_SECONDS", 0.0)
    start = await now(client)
    async with watching(client, f"resourceVersion={start}&timeoutSeconds=1") as events:
        assert await events.rest() == []
    await fleet.put("east", NODES, {"metadata": {"name": "n"}})
    async with watching(client, f"resourceVersion={start}&timeoutSeconds=1&allowWatchBookmarks=true") as events:
        found = await events.rest()
    assert {event["type"] for event in found} == {"BOOKMARK"}
    assert version(found[-1]) > start  # other types' changes move the bookmark too


async def test_timeout_ends_the_watch(client: Client) -> None:
    async with watching(client, f"resourceVersion={await now(client)}&timeoutSeconds=1") as events:
        assert await asyncio.wait_for(events.rest(), 5) == []


async def test_a_version_of_the_future_is_504_and_one_too_old_410(
    client: Client, fleet: Fleet, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.search.run.FUTURE_SECONDS", 0.2)
    async with client.get(f"{PODS_PATH}?watch=true&resourceVersion=999999") as response:
        body = await response.json()
        assert (response.status, body["reason"]) == (504, "Timeout")
        assert "Too large resource version" in body["message"]
    start = await now(client)
    await fleet.put("east", PODS, pod("shop", "new"))
    services.engine.feed.floor = start + 1
    async with client.get(f"{PODS_PATH}?watch=true&resourceVersion={start}") as response:
        assert (response.status, (await response.json())["reason"]) == (410, "Expired")


async def test_a_version_soon_to_come_is_waited_for(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    task = asyncio.create_task(client.get(f"{PODS_PATH}?resourceVersion={start + 1}"))
    await fleet.put("east", PODS, pod("shop", "new"))
    async with await asyncio.wait_for(task, 3) as response:
        assert response.status == 200


async def test_what_is_no_longer_kept_ends_a_running_watch_with_410(
    client: Client, fleet: Fleet, services: Services
) -> None:
    start = await now(client)
    async with watching(client, f"resourceVersion={start}") as events:
        async with fleet.database.writers.acquire() as connection:
            await connection.execute("update fleet.store set floor = $1", start + 100)
        services.engine.feed._kept_after = start + 100
        await fleet.put("east", PODS, pod("shop", "new"))
        event = await events.next()
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


async def test_a_removed_cluster_ends_the_watches_that_saw_it(client: Client, fleet: Fleet) -> None:
    start = await now(client)
    removed = fleet.members["west"].id
    async with (
        watching(client, f"resourceVersion={start}") as everything,
        watching(client, f"resourceVersion={start}", "/fleet/clusters/east/api/v1/pods") as east,
    ):
        async with fleet.database.writers.acquire() as connection, connection.transaction():
            await connection.execute("select fleet.begin_cursors()")
            await connection.execute(
                "insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version) "
                "values (nextval('fleet.cursor'), $1, 0, 'cluster-removed', '', '', '', '')",
                removed,
            )
        assert (await everything.next())["object"]["code"] == 410
        await fleet.put("east", PODS, pod("shop", "new"))
        assert await east.take(1) == [("ADDED", "east", "new")]


async def test_a_watch_ends_when_the_scope_changes(client: Client, services: Services) -> None:
    async with watching(client, f"resourceVersion={await now(client)}") as events:
        services.identity.scope = Scope(namespaces=("shop",))
        assert await asyncio.wait_for(events.rest(), 10) == []


async def test_a_watch_sees_only_its_scope(client: Client, fleet: Fleet, services: Services) -> None:
    services.identity.scope = Scope(clusters=("east",), namespaces=("shop",))
    async with watching(client, f"resourceVersion={await now(client)}") as events:
        await fleet.put("west", PODS, pod("shop", "hidden"))
        await fleet.put("east", PODS, pod("default", "hidden"), pod("shop", "seen"))
        assert await events.take(1) == [("ADDED", "east", "seen")]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("fieldSelector=spec.containers[0].image=x", "a list can"),
        ("fieldSelector=spec.nodeName", "a list can"),
        ("sendInitialEvents=true", "resourceVersionMatch"),
        ("labelSelector=fleetpedia.io/cluster=nowhere", "nowhere"),
        ("nonsense=1", "nonsense"),
    ],
)
async def test_what_a_watch_cannot_do_is_refused(client: Client, query: str, said: str) -> None:
    async with client.get(f"{PODS_PATH}?watch=true&{query}") as response:
        assert response.status == 400
        assert said in (await response.json())["message"]


async def test_a_client_that_keeps_the_events_converges_to_a_fresh_list(client: Client, fleet: Fleet) -> None:
    """What a reflector does, keyed by cluster, over a storm of changes."""
    kept: dict[tuple[str, str], str] = {}
    start = await now(client)
    async with watching(client, f"resourceVersion={start}&labelSelector=app in (a,b)") as events:
        for round in range(40):
            cluster = ("east", "west")[round % 2]
            await fleet.put(
                cluster, PODS, *(pod("storm", f"p{n}", {"app": "abc"[(n * 7 + round) % 3]}) for n in range(8))
            )
            if round % 3 == 0:
                await fleet.delete(cluster, PODS, ("storm", f"p{round % 8}"))
        await fleet.put("east", PODS, pod("storm", "end", {"app": "a"}))
        last = 0
        while True:
            event = await events.next()
            assert version(event) >= last
            last = version(event)
            type, cluster, name = brief(event)
            if name == "end":
                break
            if type == "DELETED":
                kept.pop((cluster, name), None)
            else:
                kept[cluster, name] = event["object"]["metadata"]["uid"]
    async with client.get(f"{PODS_PATH}?labelSelector=app in (a,b)&fieldSelector=metadata.name!=end") as response:
        items = (await response.json())["items"]
    fresh = {brief({"type": "", "object": item})[1:]: item["metadata"]["uid"] for item in items}
    assert kept == {key: uid for key, uid in fresh.items()}
