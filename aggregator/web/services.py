"""What the edge is given: every service of the aggregator, put together once in main."""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.ingest.service import Ingest
from aggregator.metrics import Metrics
from aggregator.operations.clusters import Clusters
from aggregator.operations.manifest import Manifests
from aggregator.operations.policies import Policies
from aggregator.operations.tokens import Tokens
from aggregator.operations.verify import Verification
from aggregator.rbac.identity import Identity
from aggregator.search.run import Engine
from aggregator.settings import Settings
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import ChangeFeed
from aggregator.storage.pool import Database


@dataclass(frozen=True)
class Services:
    settings: Settings
    database: Database
    catalog: Catalog
    feed: ChangeFeed
    metrics: Metrics
    engine: Engine
    ingest: Ingest
    identity: Identity
    clusters: Clusters
    manifests: Manifests
    policies: Policies
    tokens: Tokens
    verification: Verification
