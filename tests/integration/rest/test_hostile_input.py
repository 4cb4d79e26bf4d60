"""Whatever comes in, the answer says what was wrong with it: 4xx with a message, never 500."""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from yarl import URL

from aggregator.rbac.scope import Scope
from aggregator.search import run
from aggregator.search.page import Place, encode
from aggregator.search.query import Glob as Text
from aggregator.search.query import Key, Match, Query
from aggregator.storage.migrate import SchemaState, head
from aggregator.web import health
from schema.errors import Unavailable
from schema.wire import CONTENT_TYPE
from tests.integration.fleet import CONFIG_MAPS, Fleet
from tests.integration.rest.conftest import Edge

PODS = "/fleet/api/v1/pods"
REVIEW = "/fleet/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
PIECES = (
    *("\0", "\ud7ff", "\uffff", "😀", "٣", "é", "\\", "'", '"', "`", "%", "_", "*", "--", ";", "$1", "{}", "[", "]"),
    *("(", ")", ",", "=", "!=", "!", " in ", " notin ", "|", "OR", "NOT", "-", ".", ":", "<", "~", "a", "kind:pod"),
    *("cluster", "fleetpedia.io/cluster", "metadata.cluster", "label.", "9" * 30, "-1", "1e9", "0x1", "\n", "\t", " "),
)


def noise(seed: int, rounds: int) -> Iterator[str]:
    chosen = random.Random(seed)
    for _ in range(rounds):
        yield "".join(chosen.choices(PIECES, k=chosen.randint(1, 7)))


async def refused_or_served(edge: Edge, method: str, path: str, body: bytes | None = None, **headers: str) -> int:
    shown = {"Authorization": f"Bearer {edge.admin}", **headers}
    async with edge.client.request(method, URL(path, encoded=True), data=body, headers=shown) as answer:
        content = await answer.read()
        assert answer.status < 500, (method, path[:200], (body or b"")[:200], content)
        if answer.status >= 400:
            assert json.loads(content)["message"], (path, content)
        return answer.status


@pytest.mark.parametrize("name", ["q", "next", "limit", "count", "columns"])
async def test_noise_in_a_search(edge: Edge, fleet: Fleet, name: str) -> None:
    for text in noise(1, 120):
        await refused_or_served(edge, "GET", f"/api/v1/search?{name}={quote(text, safe='')}")


@pytest.mark.parametrize(
    "name", ["labelSelector", "fieldSelector", "limit", "continue", "resourceVersionMatch", "timeout", "includeObject"]
)
async def test_noise_in_a_list(edge: Edge, fleet: Fleet, name: str) -> None:
    for text in noise(2, 120):
        await refused_or_served(edge, "GET", f"{PODS}?{name}={quote(text, safe='')}")


async def test_noise_in_paths(edge: Edge, fleet: Fleet) -> None:
    places = [
        *("/fleet/{}", "/fleet/apis/{}/v1/pods", "/fleet/api/v1/namespaces/{}/pods", "/fleet/api/v1/pods/{}"),
        *("/fleet/clusters/{}/api/v1/pods", "/api/v1/clusters/{}", "/api/v1/clusters/{}/policy"),
        *("/api/v1/objects/east/core/v1/pods/{}/a", "/api/v1/objects/east/core/v1/pods/-/{}"),
        "/api/v1/operations/{}",
    ]
    for place in places:
        for text in noise(3, 30):
            await refused_or_served(edge, "GET", place.format(quote(text, safe="")))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{PODS}/a%00b"),
        ("GET", "/fleet/api/v1/namespaces/a%00b/pods"),
        ("GET", f"{PODS}?fieldSelector=a%00b%3D1"),
        ("GET", "/api/v1/objects/east/core/v1/pods/a%00/b"),
        ("GET", "/api/v1/clusters/a%00/policy"),
        ("DELETE", "/api/v1/tokens/a%00b"),
        ("DELETE", "/api/v1/clusters/a%00b"),
        ("POST", "/api/v1/clusters/a%00b/rotate"),
        ("GET", f"/api/v1/search?limit={'9' * 5000}"),
    ],
)
async def test_nul_and_endless_numbers_are_bad_requests(edge: Edge, fleet: Fleet, method: str, path: str) -> None:
    assert await refused_or_served(edge, method, path) == 400


async def test_an_endless_number_of_an_operation_is_not_found(edge: Edge) -> None:
    assert await refused_or_served(edge, "GET", f"/api/v1/operations/{'9' * 5000}") == 404


@pytest.mark.parametrize(
    "kubeconfig",
    [
        "[" * 3000,
        "contexts: 2001-13-45",
        "contexts: 7\ncurrent-context: a",
        "contexts: [{name: a, context: {cluster: a, user: a}}]\nclusters: 7\nusers: {}\ncurrent-context: a",
        "contexts: [{name: [a], context: 1}]\ncurrent-context: [a]",
        "a: &a [1]\nb: &b [*a,*a]\ncontexts: [{name: *b}]\ncurrent-context: x",
        "\u0000",
    ],
)
async def test_what_is_no_kubeconfig_is_a_bad_request(edge: Edge, kubeconfig: str) -> None:
    body = json.dumps({"name": "one", "kubeconfig": kubeconfig}).encode()
    assert (
        await refused_or_served(edge, "POST", "/api/v1/clusters", body, **{"Content-Type": "application/json"}) == 400
    )


@pytest.mark.parametrize(
    "body", [b'{"name":"\xff"}', b"[" * 50_000, b'{"name":"\\ud800"}', b'{"name":1e999}', b"\0", b"nul"]
)
async def test_broken_bodies_are_bad_requests(edge: Edge, body: bytes) -> None:
    json_type = {"Content-Type": "application/json"}
    for method, path in (("POST", "/api/v1/clusters"), ("PUT", "/api/v1/policy"), ("POST", "/api/v1/tokens")):
        assert await refused_or_served(edge, method, path, body, **json_type) == 400


async def test_broken_reviews_are_bad_requests(edge: Edge) -> None:
    for body in (b'{"a":' + b"[" * 30_000, b'{"spec":{"resourceAttributes":{"verb":"\xff"}}}', b"x"):
        assert await refused_or_served(edge, "POST", REVIEW, body, **{"Content-Type": "application/json"}) == 400
    chosen = random.Random(4)
    for _ in range(100):
        data = b"k8s\0" + bytes(chosen.choices(range(256), k=chosen.randint(0, 40)))
        await refused_or_served(edge, "POST", REVIEW, data, **{"Content-Type": "application/vnd.kubernetes.protobuf"})


async def test_nul_in_a_policy_is_a_bad_request(edge: Edge) -> None:
    body = json.dumps({"exclude": [{"resources": ["a\0"]}]}).encode()
    assert await refused_or_served(edge, "PUT", "/api/v1/policy", body, **{"Content-Type": "application/json"}) == 400


async def test_a_token_that_is_no_text_is_unknown(edge: Edge) -> None:
    for path, method in ((PODS, "GET"), ("/agent/v1/session", "POST")):
        async with edge.client.request(method, path, headers={"Authorization": "Bearer \udcff"}) as answer:
            assert answer.status in (400, 401)


async def test_a_forged_continue_token_is_a_bad_request(edge: Edge, fleet: Fleet) -> None:
    """Its checksum is no secret: what it holds must be good for the database whoever wrote it."""
    query = Query(type=("", "v1", "pods"))
    store = edge.services.catalog.store
    for key in (Key(2**31, "a", "b", 1), Key(1, "a", "b", -1), Key(1, "a\0", "b", 1), Key(1, "a", "b" * 2500, 1)):
        token = encode(Place(2**40, 1, key), query, store)
        assert await refused_or_served(edge, "GET", f"{PODS}?limit=1&continue={token}") == 400
    other = Query(Match("name", (Text.literal("x"),)), ("", "v1", "pods"))
    assert (
        await refused_or_served(
            edge, "GET", f"{PODS}?limit=1&continue={encode(Place(1, 1, Key(1, '', '', 1)), other, store)}"
        )
        == 400
    )


async def test_a_message_in_a_second_wrapping_is_refused_unread(edge: Edge) -> None:
    """A few hundred bytes of deflate are gigabytes: the Content-Length that was checked would say nothing."""
    credential = (await edge.post("/api/v1/clusters", {"name": "one"}, status=201))["token"]
    headers = {"Authorization": f"Bearer {credential}", "Content-Type": CONTENT_TYPE, "Content-Encoding": "deflate"}
    async with edge.client.post("/agent/v1/push", data=zlib.compress(bytes(1 << 20)), headers=headers) as answer:
        assert answer.status == 415


async def test_many_wildcards_do_not_hold_up_the_loop(edge: Edge, fleet: Fleet) -> None:
    for text in ("cluster:" + "*" * 2000 + "x", "kind:" + "*" * 2000 + "x", "cluster:" + "*e*a" * 300):
        await refused_or_served(edge, "GET", f"/api/v1/search?q={quote(text)}")


async def test_many_who_ask_for_health_take_one_connection(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    checks = 0

    async def slow(url: str) -> SchemaState:
        nonlocal checks
        checks += 1
        await asyncio.sleep(0.3)
        return SchemaState(head(), head())

    monkeypatch.setattr(health, "schema_state", slow)
    answers = await asyncio.gather(*(edge.ask("GET", "/readyz", token="") for _ in range(50)))
    assert {answer.status for answer in answers} == {200}
    assert checks < 5


async def test_what_compresses_well_does_not_fill_the_memory(
    edge: Edge, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends by the size of its objects as they are served; a whole list and a watch bring them all."""
    monkeypatch.setattr(run, "MAX_WHOLE_BYTES", 3_000_000)
    for number in range(6):
        large = {"metadata": {"namespace": "large", "name": f"l{number}"}, "data": {"a": "x" * 1_000_000}}
        await fleet.put("east", CONFIG_MAPS, large)
    path = "/fleet/api/v1/namespaces/large/configmaps"
    page = await edge.get(path, limit=500)
    assert (len(page["items"]), bool(page["metadata"]["continue"])) == (2, True)
    assert len((await edge.get(path))["items"]) == 6
    answer = await edge.ask("GET", "/api/v1/search", params={"q": "ns:large", "columns": "object"})
    assert (len(answer.json["items"]), bool(answer.json["next"])) == (2, True)
    headers = {"Authorization": f"Bearer {edge.admin}"}
    async with edge.client.get(f"{path}?watch=1&timeoutSeconds=1", headers=headers, read_bufsize=2**22) as watch:
        assert len([line async for line in watch.content]) == 6


async def test_a_list_that_is_not_taken_gives_its_place_back(
    edge: Edge, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "STREAM_SECONDS", 0.2)
    engine = edge.services.engine
    for _ in range(run.MAX_STREAMS + 1):
        with pytest.raises(Unavailable, match="not taken within"):
            async with engine.stream(Query(type=("", "v1", "pods")), Scope.everything(), run.Want()):
                await asyncio.Event().wait()
    monkeypatch.undo()
    assert len((await edge.get(PODS))["items"]) == 4


async def test_one_object_of_a_namespaced_type_needs_its_namespace(edge: Edge, fleet: Fleet) -> None:
    for path in (f"{PODS}/web-0", "/api/v1/objects/east/core/v1/pods/-/web-0"):
        answer = await edge.get(path, status=404)
        assert "/namespaces/NAMESPACE/pods/web-0" in answer["message"]
