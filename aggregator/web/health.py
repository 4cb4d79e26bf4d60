"""Whether the process lives, whether it can serve, and its figures."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol

from aiohttp import web
from prometheus_client import generate_latest

from aggregator.metrics import Metrics
from aggregator.rbac.scope import Scope
from aggregator.storage.catalog import Catalog
from aggregator.storage.pool import Database
from schema.errors import BadRequest, FleetpediaError, Forbidden

READY_SECONDS = 2.0


class HealthServices(Protocol):
    @property
    def database(self) -> Database: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def metrics(self) -> Metrics: ...


def routes(services: HealthServices) -> list[web.RouteDef]:
    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(request: web.Request) -> web.Response:
        unknown = set(request.query) - {"verbose"}
        if unknown:
            raise BadRequest(f"unknown query parameter {min(unknown)!r}; known here is verbose")
        problem = await _database_problem(services.database)
        lines = [
            f"[{'-' if problem else '+'}]database {problem or 'ok'}",
            f"[+]clusters {len(services.catalog.clusters)}",
        ]
        good = not problem
        text = "\n".join(lines) if "verbose" in request.query or not good else "ok"
        return web.Response(status=200 if good else 503, text=text + "\n")

    async def metrics(request: web.Request) -> web.Response:
        if request["actor"].scope != Scope.everything():
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


async def _database_problem(database: Database) -> str:
    try:
        async with asyncio.timeout(READY_SECONDS):
            await database.readers.fetchval("select 1")
    except FleetpediaError as error:
        return error.message
    except TimeoutError:
        return f"the database did not answer within {READY_SECONDS:g} s"
    return ""
