"""All that an agent can ask, put together for the edge."""

from __future__ import annotations

import asyncio

from aggregator.ingest.apply import Agent, Apply
from aggregator.ingest.directives import Directives
from aggregator.ingest.reconcile import Reconcile
from aggregator.ingest.session import IngestSettings, Sessions
from aggregator.metrics import Metrics
from aggregator.storage.catalog import Catalog
from aggregator.storage.pool import Database

__all__ = ["Agent", "Ingest", "IngestSettings"]


class Ingest:
    """Call `start` once. `sweep_wanted` is set when types wait for the sweep (storage.maintenance)."""

    def __init__(
        self,
        database: Database,
        metrics: Metrics,
        settings: IngestSettings | None = None,
        catalog: Catalog | None = None,
    ):
        settings = settings or IngestSettings()
        self.database = database
        self.metrics = metrics
        self.sweep_wanted = asyncio.Event()
        self.sessions = Sessions(database, metrics, settings, self.sweep_wanted.set)
        self.apply = Apply(database, metrics, settings.writers)
        self.reconcile = Reconcile(database, metrics, settings, catalog)
        self.directives = Directives(database, settings)

    async def start(self) -> None:
        await self.directives.start()
