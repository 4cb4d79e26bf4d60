"""The whole application of the aggregator over a database, as HTTP clients see it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aggregator.main import composed
from aggregator.serving import Endpoint
from aggregator.settings import Settings
from aggregator.storage import tokens
from aggregator.storage.pool import Database
from aggregator.web.app import build_app
from aggregator.web.services import Services
from tests.integration.fleet import CONFIG_MAPS, NAMESPACES, PODS, Fleet, pod

URL = "https://fleet.example.com"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes
    json: Any
    text: str


@dataclass
class Edge:
    """`admin`: a token that may do everything."""

    services: Services
    client: TestClient[web.Request, web.Application]
    admin: str

    async def ask(self, method: str, path: str, body: Any = None, token: str | None = None, **options: Any) -> Answer:
        """`token` "" sends none."""
        shown = self.admin if token is None else token
        headers = {**({"Authorization": f"Bearer {shown}"} if shown else {}), **options.pop("headers", {})}
        async with self.client.request(method, path, json=body, headers=headers, **options) as answer:
            content = await answer.read()
            decoded = await answer.json(content_type=None) if "json" in answer.content_type else None
            return Answer(answer.status, answer.headers, content, decoded, content.decode())

    async def get(self, path: str, token: str | None = None, status: int = 200, **query: Any) -> Any:
        answer = await self.ask("GET", path, token=token, params=query)
        assert answer.status == status, answer.text
        return answer.json

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        answer = await self.ask("POST", path, {} if body is None else body)
        assert answer.status == status, answer.text
        return answer.json

    async def token(self, name: str, **scope: Any) -> str:
        made = await self.post("/api/v1/tokens", {"name": name, **scope}, status=201)
        return str(made["token"])


@pytest.fixture
async def edge(database: Database) -> AsyncIterator[Edge]:
    """The application with its catalog, feed, removals and proofs running."""
    services = composed(Settings(), database, Endpoint(URL, URL, None, ssl.create_default_context()))
    await services.catalog.refresh()
    await services.feed.start()
    await services.ingest.start()
    await services.identity.start()
    async with database.writers.acquire() as connection:
        await tokens.ensure_admin(connection, "fp_admin-of-the-test")
    background = (services.catalog.run, services.feed.run, services.clusters.run_removals, services.verification.run)
    tasks = [asyncio.create_task(run()) for run in background]
    async with TestClient(TestServer(build_app(services))) as client:
        yield Edge(services, client, "fp_admin-of-the-test")
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def fleet(database: Database, edge: Edge) -> Fleet:
    """Clusters `east` and `west` with namespaces shop and bank, a pod and a ConfigMap in each."""
    fleet = Fleet(database)
    for name in ("east", "west"):
        await fleet.add(name, PODS, NAMESPACES, CONFIG_MAPS, labels={"env": "prod" if name == "east" else "test"})
        for namespace in ("shop", "bank"):
            await fleet.put(name, NAMESPACES, {"metadata": {"name": namespace}})
            await fleet.put(name, PODS, pod(namespace, "web-0", {"app": "web"}))
            config = {"metadata": {"namespace": namespace, "name": "config"}, "data": {"a": "b"}}
            await fleet.put(name, CONFIG_MAPS, config)
    await edge.services.catalog.refresh()
    return fleet
