"""The composition root of the aggregator: everything is made here, handed its collaborators, run, and closed."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import uvloop
from aiohttp import web

from aggregator.ingest.service import Ingest, IngestSettings
from aggregator.metrics import Metrics
from aggregator.operations.clusters import Clusters
from aggregator.operations.manifest import Manifests
from aggregator.operations.policies import Policies
from aggregator.operations.tokens import Tokens
from aggregator.operations.verify import Verification
from aggregator.rbac.identity import Identity
from aggregator.search.run import Engine
from aggregator.serving import Endpoint, bound, endpoint
from aggregator.settings import Settings
from aggregator.storage import clusters as cluster_rows
from aggregator.storage import tokens
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import ChangeFeed
from aggregator.storage.maintenance import Maintenance
from aggregator.storage.migrate import migrate
from aggregator.storage.pool import Database
from aggregator.storage.scrub import Scrub
from aggregator.supervise.agents import AgentChildren
from aggregator.supervise.folder import DataFolder
from aggregator.web.app import build_app
from aggregator.web.services import Services
from aggregator.web.starting import starting_app
from schema.errors import Unavailable

log = logging.getLogger(__name__)
DRAIN_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0


def serve(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; the exit code. Raises FleetpediaError for a start that cannot be."""
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s", force=True
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)
    return uvloop.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    folder = DataFolder(settings.data)
    folder.create()
    with bound(settings.listen) as listening:
        reached = await asyncio.to_thread(endpoint, settings, listening.getsockname()[1])
        database = await _unless_stopped(_open(settings, listening, reached.context), stopped)
        if database is None:
            return 0
        try:
            await _run(settings, folder, database, listening, reached, stopped)
        finally:
            await database.close()
    log.info("stopped")
    return 0


async def _unless_stopped(start: Awaitable[Database], stopped: asyncio.Event) -> Database | None:
    """None where the stop came first."""
    starting = asyncio.ensure_future(start)
    waiting = asyncio.ensure_future(stopped.wait())
    await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if starting.done():
        return starting.result()
    starting.cancel()
    await asyncio.wait([starting])
    return None


async def _open(settings: Settings, listening: socket.socket, context: ssl.SSLContext) -> Database:
    """Migrate and connect. A database that is away is waited for, and /readyz says so meanwhile; one that cannot be
    used ends the start."""
    said = "the database is being opened"

    async with _answering(starting_app(lambda: said), listening, context):
        while True:
            try:
                await migrate(settings.database)
                return await Database.open(settings.database)
            except Unavailable as error:
                if error.message != said:
                    log.warning("waiting for %s: %s", _place(settings.database), error.message)
                said = error.message
            await asyncio.sleep(_RETRY_SECONDS)


def _place(database: str) -> str:
    """Where a database is, for logs: without user and password."""
    parts = urlsplit(database)
    socket_folder = dict(parse_qsl(parts.query)).get("host", "")
    return f"{parts.netloc.rpartition('@')[2] or socket_folder}{parts.path}"


async def _run(
    settings: Settings,
    folder: DataFolder,
    database: Database,
    listening: socket.socket,
    reached: Endpoint,
    stopped: asyncio.Event,
) -> None:
    services = composed(settings, database, reached)
    await services.catalog.refresh()
    await services.feed.start()
    async with database.writers.acquire() as connection:
        await tokens.ensure_admin(connection, folder.admin_token())
    maintenance = Maintenance(database, services.ingest.sweep_wanted, settings.changelog_retention)
    await maintenance.prepare()
    await services.ingest.start()
    await services.identity.start()
    children = AgentChildren(
        folder.path, reached.local, reached.ca, partial(cluster_rows.beside, database), services.clusters.own_credential
    )
    services.catalog.on_change(children.wake)
    background = [
        services.catalog.run,
        services.feed.run,
        services.clusters.run_removals,
        services.verification.run,
        maintenance.run,
        Scrub(database, services.metrics, settings.scrub_interval).run,
        children.run,
    ]
    async with _answering(build_app(services), listening, reached.context):
        with reached.told(folder):
            log.info("serving at %s", reached.url)
            await _background(background, stopped)


def _forgetting(metrics: Metrics, catalog: Catalog) -> Callable[[], None]:
    """The figures of clusters that were removed or renamed go with them."""
    known = set(catalog.clusters)

    def changed() -> None:
        for name in known - catalog.clusters.keys():
            metrics.forget(name)
        known.clear()
        known.update(catalog.clusters)

    return changed


def composed(settings: Settings, database: Database, reached: Endpoint) -> Services:
    """Every service, not started yet."""
    metrics = Metrics()
    catalog = Catalog(database, settings.stale_after)
    catalog.on_change(_forgetting(metrics, catalog))
    feed = ChangeFeed(database)
    clusters = Clusters(database, catalog)
    ingest = IngestSettings(heartbeat_seconds=settings.heartbeat, digest_seconds=settings.digest_interval)
    return Services(
        settings=settings,
        database=database,
        catalog=catalog,
        feed=feed,
        metrics=metrics,
        engine=Engine(database, catalog, feed, settings.max_list_rows),
        ingest=Ingest(database, metrics, ingest, catalog),
        identity=Identity(database),
        clusters=clusters,
        manifests=Manifests(clusters, reached.url, reached.ca.read_text() if reached.ca else ""),
        policies=Policies(database),
        tokens=Tokens(database),
        verification=Verification(database, catalog),
    )


async def _background(tasks: Sequence[Callable[[], Awaitable[None]]], stopped: asyncio.Event) -> None:
    """Run `tasks` until stopped. One that fails is a defect and ends the process, whose supervisor starts it again."""
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(_awaited(run)) for run in tasks]
        await stopped.wait()
        log.info("stopping")
        for task in running:
            task.cancel()


async def _awaited(run: Callable[[], Awaitable[None]]) -> None:
    await run()


@asynccontextmanager
async def _answering(app: web.Application, listening: socket.socket, context: ssl.SSLContext) -> AsyncIterator[None]:
    """Serve `app` on a copy of the socket, so that connections wait while one application follows another. At the end
    nothing is accepted any more and what runs may end, at most DRAIN_SECONDS."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=DRAIN_SECONDS)
    await runner.setup()
    try:
        await web.SockSite(runner, listening.dup(), ssl_context=context).start()
        yield
    finally:
        await runner.cleanup()
