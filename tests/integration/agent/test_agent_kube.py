"""The client of the API server against servers that misbehave, and discovery in both forms."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent import discovery, kube
from agent.access import Access
from agent.crds import Columns, Definitions
from agent.discovery import Discovery
from agent.errors import Forbidden, Gone, Oversized, Throttled, Unauthorized, Unavailable
from agent.files import WatchedFile
from agent.kube import Kube
from agent.kubeconfig import load
from agent.lineage import Lineage
from agent.types import Types
from simulator.faults import Fault
from simulator.fleet import Fleet

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler, **access: object) -> AsyncIterator[Kube]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with TestServer(app) as running:
        url = str(running.make_url("")).rstrip("/")
        async with Kube(Access(url, **access)) as client:  # type: ignore[arg-type]
            yield client


async def collect(client: Kube, exactly: str = "") -> list[str]:
    names: list[str] = []
    async with aclosing(client.pages("/api/v1/pods", exactly=exactly)) as pages:
        async for page in pages:
            names += [json.loads(bytes(item))["n"] for item in page.items]
    return names


def listing(names: list[str], version: str = "9", more: str = "") -> web.Response:
    meta = {"resourceVersion": version, **({"continue": more} if more else {})}
    return web.json_response({"kind": "PodList", "metadata": meta, "items": [{"n": name} for name in names]})


async def test_pages_are_put_together_and_a_failing_page_is_asked_again() -> None:
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        token = request.query.get("continue", "")
        asked.append(token)
        if asked.count(token) == 1 and token == "two":
            return web.json_response({"kind": "Status", "message": "busy"}, status=429, headers={"Retry-After": "0"})
        return {"": listing(["a"], more="two"), "two": listing(["b"], more="three"), "three": listing(["c"])}[token]

    async with server(answer) as client:
        assert await collect(client) == ["a", "b", "c"]
    assert asked == ["", "two", "two", "three"]


@pytest.mark.parametrize(
    ("status", "error"), [(401, Unauthorized), (403, Forbidden), (410, Gone), (429, Throttled), (500, Unavailable)]
)
async def test_errors_by_status(status: int, error: type[Exception]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "no"}, status=status, headers={"Retry-After": "3"})

    async with server(answer) as client:
        with pytest.raises(error, match="no"):
            await client.get("/x")


@pytest.mark.parametrize("body", [b"<html>", b"{}", b'{"metadata":{},"items":7}'])
async def test_what_is_no_list_is_said_to_be_none(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    async with server(answer) as client:
        with pytest.raises(Unavailable, match="no Kubernetes list"):
            await collect(client)


async def test_a_page_that_is_too_large_is_asked_for_in_smaller_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "MAX_PAGE_BYTES", 2000)
    limits: list[int] = []

    async def answer(request: web.Request) -> web.Response:
        limit = int(request.query["limit"])
        limits.append(limit)
        start = int(request.query.get("continue", "0"))
        names = [f"{number:0300d}" for number in range(start, min(12, start + limit))]
        return listing(names, more=str(start + limit) if start + limit < 12 else "")

    async with server(answer) as client:
        assert [int(name) for name in await collect(client)] == list(range(12))
    assert limits[0] == 500
    assert max(limits[3:]) <= 14


async def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "MAX_ANSWER_BYTES", 1 << 20)
    monkeypatch.setattr(kube, "MAX_PAGE_BYTES", 1 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65536)
        except ConnectionError:
            return response

    async with server(answer) as client:
        with pytest.raises(Oversized):
            await collect(client)


def watching(*lines: bytes, then: float = 0.0) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.query["allowWatchBookmarks"] == "true"
        assert 300 <= int(request.query["timeoutSeconds"]) <= 600
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(line)
        await asyncio.sleep(then)
        return response

    return answer


async def kinds(client: Kube) -> list[str]:
    seen = []
    async with aclosing(client.watch("/api/v1/pods", "5").events()) as stream:
        async for events in stream:
            seen += [event.kind for event in events]
    return seen


async def test_watch_events_over_odd_chunks() -> None:
    one, two = b'{"type":"ADDED","object":{"n":1}}', b'{"type":"BOOKMARK","object":{}}\n'
    async with server(watching(one[:7], one[7:], b"\n", two)) as client:
        assert await kinds(client) == ["ADDED", "BOOKMARK"]


async def test_an_error_event_is_an_error() -> None:
    gone = b'{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}\n'
    async with server(watching(gone)) as client:
        with pytest.raises(Gone, match="too old"):
            await kinds(client)


async def test_a_line_that_is_no_event() -> None:
    async with server(watching(b"not json\n")) as client:
        with pytest.raises(Unavailable, match="no watch event"):
            await kinds(client)


async def test_an_event_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "MAX_EVENT_BYTES", 1000)
    async with server(watching(b'{"type":"ADDED","object":{"n":"' + b"x" * 2000, then=5)) as client:
        with pytest.raises(Oversized):
            await kinds(client)


async def test_a_silent_watch_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kube, "SILENCE_SECONDS", 0.2)
    added, bookmark = b'{"type":"ADDED","object":{"n":1}}\n', b'{"type":"BOOKMARK","object":{}}\n'
    async with server(watching(added, bookmark, then=10)) as client:
        async with asyncio.timeout(5):
            with pytest.raises(Unavailable):
                await kinds(client)
        assert client.connections == 0
    async with server(watching(added, then=0.6)) as client:
        assert await kinds(client) == ["ADDED"], "without bookmarks silence says nothing"


async def test_a_watch_can_be_closed_from_outside() -> None:
    async with server(watching(then=10)) as client:
        watch = client.watch("/api/v1/pods", "5")
        asyncio.get_running_loop().call_later(0.1, watch.close)
        async with asyncio.timeout(5):
            async with aclosing(watch.events()) as stream:
                assert [events async for events in stream] == [[]]


async def test_a_new_token_is_used_without_a_new_client(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one")

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=request.headers["Authorization"])

    async with server(answer, token=WatchedFile(file)) as client:
        assert await client.get("/x") == b"Bearer one"
        file.write_text("second")
        assert await client.get("/x") == b"Bearer second"
        file.unlink()
        with pytest.raises(Unavailable, match="credential cannot be read"):
            await client.get("/x")


async def test_no_server_at_all() -> None:
    async with Kube(Access("http://127.0.0.1:9")) as client:
        with pytest.raises(Unavailable, match="GET /version"):
            await client.get("/version")
        assert client.seen == 0.0
        assert "/version" in client.message


async def test_both_forms_of_discovery_say_the_same(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Kube(load(fleet.kubeconfig, "sim-1")) as client:
        new = await Discovery(client).ask(Columns())
        monkeypatch.setattr(discovery, "AGGREGATED", "application/json")
        old = await Discovery(client).ask(Columns())
    assert new.types == old.types
    assert new.complete
    assert old.complete
    assert new.groups == old.groups
    assert ("", "events") in new.types
    assert ("events.k8s.io", "events") not in new.types
    assert ("metrics.k8s.io", "pods") not in new.types


async def test_an_unchanged_discovery_is_known_by_its_etag(fleet: Fleet) -> None:
    async with Kube(load(fleet.kubeconfig, "sim-1")) as client:
        asking = Discovery(client)
        first = await asking.ask(Columns())
        assert await asking.ask(Columns()) == first


async def test_a_stale_group_is_told_with_its_name(fleet: Fleet) -> None:
    fleet.faults.begin(Fault("stale_discovery", "sim-1", group="apps"))
    async with Kube(load(fleet.kubeconfig, "sim-1")) as client:
        served = await Discovery(client).ask(Columns())
    assert not served.complete
    assert "apps" in served.troubled["apps"]
    assert "apps" not in served.groups


async def test_absence_is_believed_after_a_minute_of_certainty_only(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("agent.types.time.monotonic", lambda: now[0])
    async with Kube(load(fleet.kubeconfig, "sim-1")) as client:
        types = Types(SimpleNamespace(kube=client), lambda: None)  # type: ignore[arg-type]
        served, columns, key = await Discovery(client).ask(Columns()), Columns(), ("gone.io", "v1", "things")
        assert await types._why_gone(key, served, columns) == ""
        now[0] += 61
        fleet.faults.begin(Fault("unavailable", "sim-1"))
        assert await types._why_gone(key, served, columns) == "", "an error proves nothing, and the minute begins anew"
        fleet.faults.clear()
        assert await types._why_gone(key, served, columns) == ""
        now[0] += 61
        assert "has not served gone.io/v1 things for 60 s" in await types._why_gone(key, served, columns)

        assert "serves it as apps/v1" in await types._why_gone(("apps", "v1beta1", "deployments"), served, columns)
        assert "core group" in await types._why_gone(("events.k8s.io", "v1", "events"), served, columns)
        columns.gone.add(("x.io", "things"))
        assert "CustomResourceDefinition" in await types._why_gone(("x.io", "v1", "things"), served, columns)


@pytest.mark.parametrize(
    ("now", "stored", "doubt"),
    [("10", "9", ""), ("9", "9", ""), ("8", "9", "rewound"), ("100", "99", ""), ("x", "9", "")],
)
async def test_a_list_version_below_the_stored_one_is_a_rewind(now: str, stored: str, doubt: str) -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.query["limit"] == "1"
        assert "resourceVersion" not in request.query, "a quorum read"
        return listing([], now)

    async with server(answer) as client:
        assert await Lineage(client, "me", allowed=False).doubt("/api/v1/pods", stored) == doubt
        assert await Lineage(client, "me", allowed=False).doubt("/api/v1/pods", stored, gap=60) == "out-of-sight"


async def test_a_restore_between_two_sessions_is_told_by_the_lease() -> None:
    held = {"counter": 4}

    async def answer(request: web.Request) -> web.Response:
        if request.method == "PUT":
            held["counter"] = (await request.json())["spec"]["leaseTransitions"]
        return web.json_response({"spec": {"leaseTransitions": held["counter"]}})

    async with server(answer) as client:
        lineage = Lineage(client, "me", allowed=True)
        assert [await lineage.begin(), lineage.broken, lineage.made] == [5, False, False]
        held["counter"] = 8  # another agent of the member had its turn
        assert [await lineage.begin(), lineage.broken, lineage.made] == [9, False, False]
        held["counter"] = 8  # the backup is from before this session
        assert [await lineage.begin(), lineage.broken, lineage.made] == [9, True, True]
        assert [await lineage.begin(), lineage.broken, lineage.made] == [10, False, True]


@pytest.mark.parametrize("status", [200, 403, 404])
async def test_definitions_are_known_by_the_answer_for_crds_only(status: int) -> None:
    """Announced before, types have no columns: another shape, by which all of theirs would be sent anew."""
    services, crds = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        if "apiservices" in request.path:
            services.set()
            return web.json_response({"kind": "Status", "message": "no"}, status=403)
        await crds.wait()
        return listing([]) if status == 200 else web.json_response({"kind": "Status"}, status=status)

    async with server(answer) as client:
        definitions = Definitions(client, lambda: None)
        running = asyncio.create_task(definitions.run())
        await services.wait()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await definitions.known.wait()
        crds.set()
        async with asyncio.timeout(5):
            await definitions.known.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
