"""Whether the process lives, whether it can serve, and its figures."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final, Protocol

from aiohttp import web
from prometheus_client import generate_latest

from aggregator.metrics import Metrics
from aggregator.rbac.scope import Scope
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import ChangeFeed
from aggregator.storage.migrate import schema_state
from aggregator.storage.pool import Database
from aggregator.web.keys import ACTOR
from schema.errors import BadRequest, FleetpediaError, Forbidden

READY_SECONDS: Final = 2.0
BEHIND: Final = 100_000
"""Changes that the feed may lag behind the log before we call ourselves not ready."""


class HealthServices(Protocol):
    @property
    def database(self) -> Database: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def feed(self) -> ChangeFeed: ...
    @property
    def metrics(self) -> Metrics: ...


def routes(services: HealthServices) -> list[web.RouteDef]:
    checks = _Checks(services)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(request: web.Request) -> web.Response:
        unknown = set(request.query) - {"verbose"}
        if unknown:
            raise BadRequest(f"unknown query parameter {min(unknown)!r}; known here is verbose")
        problems = await checks.now()
        lines = [f"[{'-' if problem else '+'}]{name} {problem or 'ok'}" for name, problem in problems.items()]
        good = not any(problems.values())
        text = "\n".join(lines) if "verbose" in request.query or not good else "ok"
        return web.Response(status=200 if good else 503, text=text + "\n")

    async def metrics(request: web.Request) -> web.Response:
        if request[ACTOR].scope != Scope.everything():
            raise Forbidden("the metrics are of the whole fleet; use a token without a limited scope")
        observe(services.metrics, services.catalog)
        # Rendering thousands of series takes long enough to delay every answer: a thread does it.
        body = await asyncio.to_thread(generate_latest, services.metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    return [
        web.get("/livez", livez),
        web.get("/readyz", readyz),
        web.get("/healthz", readyz),
        web.get("/metrics", metrics),
    ]


def observe(metrics: Metrics, catalog: Catalog) -> None:
    """Set the figures that are true at the time of reading."""
    now = datetime.now(UTC)
    for entry in catalog.clusters.values():
        metrics.cluster_stale.labels(entry.name).set(catalog.is_stale(entry, now))
    for type in catalog.types.values():
        for cluster_id, member in type.clusters.items():
            cluster = catalog.cluster_by_id.get(cluster_id)
            if cluster is not None and member.current_at is not None:
                lag = max(0.0, (now - member.current_at).total_seconds())
                metrics.type_lag.labels(cluster.name, type.definition.name).set(lag)


class _Checks:
    """One check at a time, its answer for all who ask meanwhile: it takes a connection to the database, and anybody may
    ask."""

    def __init__(self, services: HealthServices) -> None:
        self._services = services
        self._running: asyncio.Task[dict[str, str]] | None = None

    async def now(self) -> dict[str, str]:
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(_problems(self._services))
        return await asyncio.shield(self._running)


async def _problems(services: HealthServices) -> dict[str, str]:
    """By check; empty where all is well."""
    try:
        async with asyncio.timeout(READY_SECONDS):
            watermark = await services.feed.watermark()
            state = await schema_state(services.database.url)
    except FleetpediaError as error:
        return {"database": error.message}
    except TimeoutError:
        return {"database": f"the database did not answer within {READY_SECONDS:g} s"}
    old = "" if state.is_current else f"the database has schema {state.current}, this version needs {state.head}"
    behind = watermark - services.feed.cursor
    late = f"{behind} changes behind" if behind > BEHIND else ""
    return {"database": "", "migrations": old, "feed": late}
