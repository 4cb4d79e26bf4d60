"""The Kubernetes faces over a small fleet: an application with nothing else in it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from aggregator.rbac.identity import Actor
from aggregator.rbac.scope import Scope
from aggregator.search.run import Engine
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import ChangeFeed
from aggregator.storage.pool import Database
from aggregator.web import errors
from aggregator.web.keys import ACTOR
from aggregator.web.kube import routes
from schema.errors import FleetpediaError
from tests.integration.fleet import CONFIG_MAPS, DEPLOYMENTS, NAMESPACES, NODES, PODS, SERVICES, WIDGETS, Fleet, pod

Client = TestClient[web.Request, web.Application]


class Caller:
    """Who asks, in place of tokens; a test may narrow the scope."""

    def __init__(self) -> None:
        self.scope = Scope.everything()

    async def actor(self, token: str) -> Actor:
        return Actor("somebody", "viewer", self.scope)


@dataclass
class Services:
    engine: Engine
    catalog: Catalog
    identity: Caller


def application(services: Services) -> web.Application:
    @web.middleware
    async def authenticated(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        request[ACTOR] = await services.identity.actor("")
        try:
            return await handler(request)
        except FleetpediaError as error:
            return errors.render(request, error)

    app = web.Application(middlewares=[authenticated])
    app.add_routes(routes(services))
    return app


@pytest.fixture
async def services(database: Database) -> AsyncIterator[Services]:
    """Engine, catalog and feed, kept running."""
    catalog, feed = Catalog(database), ChangeFeed(database, poll_seconds=0.2)
    await catalog.refresh()
    await feed.start()
    tasks = [asyncio.create_task(catalog.run()), asyncio.create_task(feed.run())]
    yield Services(Engine(database, catalog, feed), catalog, Caller())
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def client(services: Services) -> AsyncIterator[Client]:
    async with TestClient(TestServer(application(services))) as opened:
        yield opened


@pytest.fixture
async def fleet(database: Database, services: Services) -> Fleet:
    """Two clusters, `east` and `west`; a pod `web` in both, some of one only."""
    made = Fleet(database)
    served = (PODS, NAMESPACES, NODES, CONFIG_MAPS, SERVICES, DEPLOYMENTS, WIDGETS)
    await made.add("east", *served, labels={"env": "prod"})
    await made.add("west", *served, labels={"env": "test"})
    for name in ("east", "west"):
        spaces = [{"metadata": {"name": space}, "status": {"phase": "Active"}} for space in ("default", "shop")]
        await made.put(name, NAMESPACES, *spaces)
        await made.put(
            name, PODS, pod("shop", "web", {"app": "web", "tier": "front"}), pod("default", "job", phase="Failed")
        )
        await made.put(name, CONFIG_MAPS, {"metadata": {"namespace": "shop", "name": "settings"}, "data": {"a": "b"}})
    await made.put("west", PODS, pod("shop", "db", {"app": "db"}, node="n2"))
    await made.put(
        "west", WIDGETS, {"metadata": {"namespace": "shop", "name": "w"}, "spec": {"color": "red", "size": 3}}
    )
    await services.catalog.refresh()
    return made
