from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from aggregator.storage import clusters
from aggregator.storage import types as types_storage
from aggregator.storage.catalog import Catalog
from aggregator.storage.pool import Database
from schema.resource import PrinterColumn, ResourceType
from schema.wire import GoneType
from tests.integration.waiting import until

WIDGET = ResourceType(
    "example.com", "v1", "widgets", "Widget", True, columns=(PrinterColumn("Size", "integer", ".size"),)
)


async def _announce(database: Database, definitions: dict[str, ResourceType]) -> None:
    async with database.writers.transaction() as connection:
        for name, definition in definitions.items():
            id = await clusters.add(connection, name)
            await types_storage.announce(connection, id, [definition])


async def test_the_definition_of_most_clusters_wins_and_columns_are_united(database: Database) -> None:
    colour = PrinterColumn("Colour", "string", ".colour")
    other = msgspec.structs.replace(WIDGET, columns=(colour,), short_names=("wd",))
    scope = msgspec.structs.replace(WIDGET, namespaced=False)
    await _announce(database, {"c": WIDGET, "b": WIDGET, "a": other, "d": scope})
    catalog = Catalog(database)
    await catalog.refresh()
    entry = catalog.types["example.com", "v1", "widgets"]
    assert entry.definition.short_names == ()
    assert [column.name for column in entry.definition.columns or ()] == ["Size", "Colour"]
    assert entry.conflicting == {catalog.clusters["d"].id}
    assert len(entry.clusters) == 4


async def test_a_tie_goes_to_the_smallest_name(database: Database) -> None:
    other = msgspec.structs.replace(WIDGET, short_names=("wd",))
    await _announce(database, {"b": WIDGET, "a": other})
    catalog = Catalog(database)
    await catalog.refresh()
    assert catalog.types["example.com", "v1", "widgets"].definition.short_names == ("wd",)


async def test_an_excluded_type_does_not_define_what_others_serve(database: Database) -> None:
    await _announce(database, {"b": WIDGET})
    async with database.writers.transaction() as connection:
        id = await clusters.add(connection, "a")
        await types_storage.set_gone(connection, id, [GoneType("example.com", "v1", "widgets", "Excluded", "policy")])
    catalog = Catalog(database)
    await catalog.refresh()
    entry = catalog.types["example.com", "v1", "widgets"]
    assert (entry.definition.kind, entry.conflicting) == ("Widget", frozenset())
    assert entry.clusters[id].reason == "policy"


async def test_stale_is_computed_at_reading(database: Database) -> None:
    await _announce(database, {"live": WIDGET, "never": WIDGET})
    await database.writers.execute("update fleet.cluster set member_seen = now() where name = 'live'")
    catalog = Catalog(database, stale_after=30)
    await catalog.refresh()
    now = datetime.now(UTC)
    assert [entry.name for entry in catalog.stale(now)] == ["never"]
    assert [entry.name for entry in catalog.stale(now + timedelta(seconds=40))] == ["live", "never"]


async def test_a_new_cluster_is_seen_at_once_and_changes_raise_the_generation(database: Database) -> None:
    catalog = Catalog(database)
    await catalog.refresh()
    changed = asyncio.Event()
    catalog.on_change(changed.set)
    running = asyncio.create_task(catalog.run())
    generation = catalog.generation
    async with database.writers.transaction() as connection:
        await clusters.add(connection, "new")
    await asyncio.wait_for(changed.wait(), 5)
    assert "new" in catalog.clusters
    assert catalog.generation > generation
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@pytest.mark.parametrize("channel", ["fleet_catalog"])
async def test_listening_comes_back_after_the_connection_is_lost(database: Database, channel: str) -> None:
    calls: list[int] = []
    stop = await database.listen(channel, lambda: calls.append(1))
    await database.writers.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'fleetpedia listener' "
        "and datname = current_database()"
    )
    before = len(calls)
    await until(lambda: len(calls) > before)  # called after the reconnect: something may have been missed
    before = len(calls)
    await database.writers.execute("select pg_notify($1, '')", channel)
    await until(lambda: len(calls) > before)
    stop()
