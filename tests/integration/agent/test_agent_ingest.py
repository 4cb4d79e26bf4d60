"""The agent against the real ingest and Postgres, with a simulated member: what both sides must agree on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from agent.member import Member
from agent.settings import MemberSettings, Settings
from aggregator.ingest.service import Ingest
from aggregator.ingest.session import IngestSettings
from aggregator.metrics import Metrics
from aggregator.storage import clusters, credentials, directives
from aggregator.storage.pool import Database
from aggregator.web import agent as edge
from simulator.faults import Fault
from simulator.fleet import Fleet
from tests.integration.agent.agents import config_map, versions


@dataclass
class Services:
    ingest: Ingest


@dataclass
class Aggregator:
    database: Database
    url: str
    token: str
    cluster_id: int

    async def rows(self, resource: str, group: str = "") -> dict[tuple[str, str], tuple[str, str]]:
        found = await self.database.readers.fetch(
            "select namespace, name, uid, o.resource_version from fleet.object o "
            "join fleet.resource_type t on t.id = o.type_id where resource = $1 and api_group = $2",
            resource,
            group,
        )
        return {(row["namespace"], row["name"]): (row["uid"], row["resource_version"]) for row in found}

    async def states(self) -> dict[str, str]:
        found = await self.database.readers.fetch(
            "select resource, api_group, state "
            "from fleet.cluster_type ct join fleet.resource_type t on t.id = ct.type_id"
        )
        return {f"{row['resource']}.{row['api_group']}".rstrip("."): row["state"] for row in found}

    async def in_sync(self) -> bool:
        states = [state for state in (await self.states()).values() if state not in ("Gone", "Excluded")]
        return len(states) > 50 and set(states) == {"Synced"}

    async def until(self, condition: Callable[[], Any], what: str, timeout: float = 30.0) -> None:
        try:
            async with asyncio.timeout(timeout):
                while not await condition():  # noqa: ASYNC110 (a database tells nobody)
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {timeout} s: {what}; {await self.states()}") from None

    async def order(self, kind: str, **args: Any) -> dict[str, Any]:
        async with self.database.writers.transaction() as connection:
            id = await directives.add(connection, self.cluster_id, kind, args)

        async def finished() -> bool:
            state = await directives.get(self.database, id)
            return state is not None and state.finished is not None

        await self.until(finished, kind)
        state = await directives.get(self.database, id)
        assert state is not None
        assert not state.error
        return state.result or {}


@pytest.fixture
async def aggregator(database: Database) -> AsyncIterator[Aggregator]:
    ingest = Ingest(database, Metrics(), IngestSettings(heartbeat_seconds=0.5))
    async with database.writers.transaction() as connection:
        id = await clusters.add(connection, "one")
        token = await credentials.create(connection, id)
    await ingest.start()
    app = web.Application(client_max_size=32 * 1024 * 1024)
    app.add_routes(edge.routes(Services(ingest)))
    async with TestServer(app) as server:
        yield Aggregator(database, str(server.make_url("")).rstrip("/"), token, id)


class Agent:
    def __init__(self, aggregator: Aggregator, fleet: Fleet) -> None:
        token = fleet.kubeconfig.with_name("agent-token")
        token.write_text(aggregator.token)
        own = MemberSettings("one", aggregator.url, token, None, fleet.kubeconfig, "sim-1", "off")
        self.member = Member(Settings((own,)), own)

    async def __aenter__(self) -> Member:
        self._task = asyncio.create_task(self.member.run())
        return self.member

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def same(aggregator: Aggregator, fleet: Fleet, resource: str = "configmaps", group: str = "") -> bool:
    return await aggregator.rows(resource, group) == versions(fleet["sim-1"], group, resource)


async def test_the_store_is_the_member_and_a_restart_writes_no_row(aggregator: Aggregator, fleet: Fleet) -> None:
    async with Agent(aggregator, fleet):
        await aggregator.until(aggregator.in_sync, "in sync")
        for served in fleet["sim-1"].member.types():
            key = (served.resource, served.group)
            if served.group not in ("coordination.k8s.io", "events.k8s.io") and served.resource != "endpoints":
                assert await aggregator.rows(*key) == versions(fleet["sim-1"], served.group, served.resource), key
        report = await aggregator.order("verify")
        assert [one for one in report["types"] if one["missing"] or one["ghost"] or one["different"]] == []
    cursor = await aggregator.database.readers.fetchval("select max(cursor) from fleet.change")
    fleet["sim-1"].create(config_map("between"))
    async with Agent(aggregator, fleet) as member:
        await aggregator.until(lambda: same(aggregator, fleet), "the new one")
        await aggregator.until(lambda: _ready(member), "ready")
    changed = await aggregator.database.readers.fetchval("select count(*) from fleet.change where cursor > $1", cursor)
    assert changed == 1


async def _ready(member: Member) -> bool:
    return member.ready


async def test_changes_and_recreation(aggregator: Aggregator, fleet: Fleet) -> None:
    member = fleet["sim-1"]
    async with Agent(aggregator, fleet):
        await aggregator.until(aggregator.in_sync, "in sync")
        for number in range(100):
            member.create(config_map("phoenix", life=str(number)))
            if number % 9 == 0:
                await asyncio.sleep(0.01)
            if number < 99:
                member.delete("", "configmaps", "phoenix", "default")
        await aggregator.until(lambda: same(aggregator, fleet), "equal")


async def test_rows_that_were_deleted_by_hand_come_back(aggregator: Aggregator, fleet: Fleet) -> None:
    async with Agent(aggregator, fleet):
        await aggregator.until(aggregator.in_sync, "in sync")
        await aggregator.database.writers.execute("delete from fleet.object where namespace = 'kube-system'")
        report = await aggregator.order("verify", types=["configmaps"])
        assert report["types"][0]["missing"]
        await aggregator.order("relist")
        await aggregator.until(lambda: same(aggregator, fleet), "healed")
        await aggregator.until(lambda: same(aggregator, fleet, "pods"), "healed")


async def test_a_member_that_is_away_and_comes_back(aggregator: Aggregator, fleet: Fleet) -> None:
    async with Agent(aggregator, fleet):
        await aggregator.until(aggregator.in_sync, "in sync")
        fleet.faults.begin(Fault("down", "sim-1"))

        async def message() -> Any:
            return await aggregator.database.readers.fetchval("select nullif(message, '') from fleet.cluster")

        await aggregator.until(message, "the reason is told")
        fleet["sim-1"].create(config_map("meanwhile"))
        fleet.faults.clear()
        await aggregator.until(lambda: same(aggregator, fleet), "equal")
        await aggregator.until(aggregator.in_sync, "in sync")


async def test_a_crd_that_goes_is_swept(aggregator: Aggregator, fleet: Fleet, tmp_path: Path) -> None:
    member = fleet["sim-1"]
    async with Agent(aggregator, fleet):
        await aggregator.until(aggregator.in_sync, "in sync")
        assert await aggregator.rows("databases", "db.example.io")
        member.delete("apiextensions.k8s.io", "customresourcedefinitions", "databases.db.example.io")

        async def gone() -> bool:
            return (await aggregator.states())["databases.db.example.io"] == "Gone"

        await aggregator.until(gone, "gone", 5)
        definition = await aggregator.database.readers.fetchval("select definition from fleet.cluster_type limit 1")
        assert msgspec.json.decode(definition)["resource"]


async def test_a_member_that_never_answered_shows_why(aggregator: Aggregator, fleet: Fleet) -> None:
    fleet.faults.begin(Fault("unavailable", "sim-1"))
    async with Agent(aggregator, fleet):

        async def message() -> Any:
            return await aggregator.database.readers.fetchval("select nullif(message, '') from fleet.cluster")

        await aggregator.until(message, "the reason is told")
        assert "kube-system" in await message()
        fleet.faults.clear()
        await aggregator.until(aggregator.in_sync, "in sync")
        assert not await message()
