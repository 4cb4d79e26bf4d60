"""The wire over HTTP: credentials, limits, errors, long poll."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from aggregator.ingest.service import Ingest
from aggregator.storage import clusters, credentials, directives
from aggregator.web import agent as edge
from schema.wire import (
    CONTENT_TYPE,
    Ack,
    Batch,
    DirectiveResult,
    Directives,
    DirectivesRequest,
    Hello,
    Welcome,
    pack,
    unpack,
)
from tests.integration.ingest.objects import upsert
from tests.integration.waiting import until


@dataclass
class Services:
    ingest: Ingest


@dataclass
class Client:
    http: aiohttp.ClientSession
    base: str
    token: str
    ingest: Ingest
    cluster_id: int

    async def post(self, path: str, data: bytes, **headers: str) -> tuple[int, bytes]:
        sent = {"Authorization": f"Bearer {self.token}", "Content-Type": CONTENT_TYPE} | headers
        async with self.http.post(f"{self.base}/agent/v1/{path}", data=io.BytesIO(data), headers=sent) as response:
            return response.status, await response.read()

    async def open(self) -> Welcome:
        status, data = await self.post("session", pack(Hello(1, "t", "i", "uid")))
        assert status == 200, data
        return unpack(data, Welcome)


@pytest.fixture
async def client(ingest: Ingest) -> AsyncIterator[Client]:
    async with ingest.database.writers.transaction() as connection:
        id = await clusters.add(connection, "one")
        token = await credentials.create(connection, id)
    await ingest.start()
    app = web.Application()
    app.add_routes(edge.routes(Services(ingest)))
    async with TestServer(app) as server, aiohttp.ClientSession() as http:
        yield Client(http, str(server.make_url("")).rstrip("/"), token, ingest, id)


async def test_a_session_and_a_batch_over_http(client: Client) -> None:
    welcome = await client.open()
    assert (welcome.cluster, welcome.epoch) == ("one", 1)
    status, data = await client.post("push", pack(Batch(1, 1, [upsert(1, "a")], [])))
    assert status == 200
    assert unpack(data, Ack).acked == 1


async def test_no_valid_credential_is_401(client: Client) -> None:
    for header in ("", "Bearer ", "Bearer wrong", "Basic abc"):
        status, data = await client.post("session", pack(Hello(1, "t", "i", "uid")), Authorization=header)
        assert (status, msgspec.json.decode(data)["reason"]) == (401, "Unauthorized")


async def test_a_revoked_credential_is_refused_soon(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.open()
    async with client.ingest.database.writers.transaction() as connection:
        await credentials.revoke(connection, client.cluster_id)
    monkeypatch.setattr(edge, "CACHED_SECONDS", 0.0)
    status, data = await client.post("session", pack(Hello(1, "t", "i", "uid")))
    assert status == 401
    assert "revoked" in msgspec.json.decode(data)["message"]


@pytest.mark.parametrize(
    ("data", "type", "status", "says"),
    [
        (b"not zstd", CONTENT_TYPE, 400, "zstd"),
        (pack(Directives()), CONTENT_TYPE, 400, "not a Batch"),
        (b"{}", "application/json", 415, CONTENT_TYPE),
        (b"x" * (16 * 1024 * 1024 + 1), CONTENT_TYPE, 413, "smaller batches"),
    ],
)
async def test_bad_messages_say_what_is_wrong(client: Client, data: bytes, type: str, status: int, says: str) -> None:
    answer = await client.post("push", data, **{"Content-Type": type})
    assert answer[0] == status
    assert says in msgspec.json.decode(answer[1])["message"]


async def test_a_bomb_is_not_inflated(client: Client) -> None:
    import zstandard

    bomb = zstandard.ZstdCompressor(level=19).compress(b"\x00" * (64 * 1024 * 1024))
    status, data = await client.post("push", bomb)
    assert (status, msgspec.json.decode(data)["reason"]) == (413, "RequestEntityTooLarge")


async def test_gap_and_fenced_are_told_apart(client: Client) -> None:
    await client.open()
    status, data = await client.post("push", pack(Batch(1, 9, [upsert(1, "a")], [])))
    error = msgspec.json.decode(data)
    assert (status, error["reason"], error["details"]) == (409, "Gap", {"acked": 0})
    status, data = await client.post("push", pack(Batch(7, 1, [upsert(1, "a")], [])))
    assert (status, msgspec.json.decode(data)["reason"]) == (409, "Fenced")


async def test_a_directive_wakes_the_waiting_agent_and_its_result_is_kept(client: Client) -> None:
    welcome = await client.open()
    waiting = asyncio.create_task(client.post("directives", pack(DirectivesRequest(welcome.epoch, wait=20.0))))
    await until(lambda: bool(client.ingest.directives.waiting))
    database = client.ingest.database
    async with database.writers.transaction() as connection:
        id = await directives.add(connection, client.cluster_id, "verify", {"types": ["pods"]})
        assert await directives.add(connection, client.cluster_id, "verify", {"types": ["pods"]}) == id
    status, data = await asyncio.wait_for(waiting, 4)
    found = unpack(data, Directives).directives
    assert (status, [(d.id, d.kind, d.args) for d in found]) == (200, [(id, "verify", {"types": ["pods"]})])
    done = DirectiveResult(id, "", {"types": []})
    status, data = await client.post("directives", pack(DirectivesRequest(welcome.epoch, [done], wait=0.0)))
    assert unpack(data, Directives).directives == []
    state = await directives.get(database, id)
    assert state is not None
    assert state.finished is not None
    assert state.result == {"types": []}


async def test_a_new_session_gets_unfinished_directives_again(client: Client) -> None:
    async with client.ingest.database.writers.transaction() as connection:
        id = await directives.add(connection, client.cluster_id, "relist", {"types": []})
        await directives.add(connection, client.cluster_id, "reload")
    for _ in range(2):
        welcome = await client.open()
        found = []
        for _ in range(2):
            _, data = await client.post("directives", pack(DirectivesRequest(welcome.epoch, wait=0.0)))
            found += [directive.id for directive in unpack(data, Directives).directives]
        assert found == [id]  # the reload is done by the new session itself


async def test_a_directive_whose_answer_was_lost_is_offered_again(client: Client) -> None:
    welcome = await client.open()
    database = client.ingest.database
    async with database.writers.transaction() as connection:
        id = await directives.add(connection, client.cluster_id, "verify", {"types": ["pods"]})
    found = []
    for age in (0, 30, 61):
        await database.writers.execute("update fleet.session set opened = opened - interval '1 hour'")
        await database.writers.execute("update fleet.directive set taken = taken - make_interval(secs => $1)", age)
        _, data = await client.post("directives", pack(DirectivesRequest(welcome.epoch, wait=0.0)))
        found.append([directive.id for directive in unpack(data, Directives).directives])
    assert found == [[id], [], [id]]
