"""A row changed by hand is found, and only that one is made anew."""

from __future__ import annotations

import json

import msgspec
import pytest

from aggregator.ingest.service import Agent, Ingest
from aggregator.metrics import Metrics
from aggregator.storage import clusters, scrub
from aggregator.storage.pool import Database
from schema.printing import encode_cells
from schema.summary import summariser
from schema.wire import Mark, Upsert
from tests.integration.ingest.conftest import Member
from tests.integration.ingest.objects import CONFIG_MAPS, raw, upsert_of


def _upsert(type_id: int, name: str, version: str = "1", lossy: bool = False) -> Upsert:
    data = raw(name, version=version, labels={"app": "web"}, data={"k": "VALUE"})
    if lossy:
        data = data.replace(b"VALUE", rb"a\u0000b")
    made = upsert_of(type_id, data, lossy=lossy)
    summary = summariser("", "configmaps", "ConfigMap")(data)
    return msgspec.structs.replace(
        made, cells=encode_cells(summary.cells), status=summary.status, fields=summary.fields
    )


@pytest.fixture
async def member(database: Database) -> Member:
    async with database.writers.transaction() as connection:
        id = await clusters.add(connection, "one")
    made = Member(Ingest(database, Metrics()), Agent(id, "one"), "uid")
    await made.open()
    await made.announce(CONFIG_MAPS)
    type_id = made.ids["configmaps"]
    deltas = [_upsert(type_id, f"o{number}") for number in range(300)] + [_upsert(type_id, "odd", lossy=True)]
    await made.push(*deltas, marks=(Mark(type_id, "9", True, "shape"),))
    return made


async def test_rows_as_the_agent_sent_them_are_right(member: Member, database: Database) -> None:
    assert await scrub.Scrub(database, Metrics()).once() == 0
    assert await database.readers.fetchval("select count(*) from fleet.directive") == 0


@pytest.mark.parametrize(
    ("change", "column"),
    [
        ("labels = '{app=db,app}'", "labels"),
        ("status = 'Broken'", "status"),
        ("cells = '[\"x\"]'", "cells"),
        ("cells = 'no json'", "cells"),
        ("uid = 'other'", "uid"),
        ("name = 'renamed'", "name"),
        ("resource_version = '77'", "fingerprint"),
        ("fingerprint = 5", "fingerprint"),
        ("bucket = (bucket + 1) % 256", "bucket"),
        ("body = '\\x00'", "body"),
        ("body = '\\x28b52ffde0ffffffffffffff0f'", "body"),  # a frame that claims an exabyte
        ("object = jsonb_set(object, '{data,k}', '\"evil\"')", "object"),
        ("fields = '{a=b}'", "fields"),
    ],
)
async def test_any_column_changed_by_hand_is_found_and_marked(
    member: Member, database: Database, change: str, column: str
) -> None:
    for name in ("o7", "odd") if column not in ("labels", "status", "cells", "fields") else ("o7",):
        await database.writers.execute(f"update fleet.object set {change} where name = $1", name)
        assert await scrub.Scrub(database, Metrics()).once() == 1
        rows = await database.readers.fetch("select name from fleet.object where fingerprint = 0")
        assert [row[0] for row in rows] == ["renamed" if column == "name" else name]
        directive = await database.readers.fetchrow("select kind, args from fleet.directive")
        assert directive is not None
        assert (directive["kind"], json.loads(directive["args"])) == ("relist", {"types": ["configmaps"]})
        await database.writers.execute("delete from fleet.object where fingerprint = 0")
    [subject] = await scrub.subjects(database.readers)
    assert [found async for found in scrub.differences(database, subject) if found] == []


async def test_a_row_that_hides_what_jsonb_cannot_hold_is_found_alone(member: Member, database: Database) -> None:
    await database.writers.execute("update fleet.object set lossy = false where name = 'odd'")
    assert await scrub.Scrub(database, Metrics()).once() == 1
    assert await database.readers.fetchval("select name from fleet.object where fingerprint = 0") == "odd"


async def test_the_resent_object_heals_the_row_and_no_other(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await database.writers.execute("update fleet.object set status = 'Broken' where name = 'o7'")
    metrics = Metrics()
    await scrub.Scrub(database, metrics).once()
    assert metrics.scrubbed.labels("one", "configmaps")._value.get() == 1
    ack = await member.push(*[_upsert(type_id, f"o{number}") for number in range(300)])
    assert ack.noops == 299
    assert await scrub.Scrub(database, metrics).once() == 0


async def test_a_drifted_counter_is_counted_anew(member: Member, database: Database) -> None:
    await database.writers.execute("update fleet.cluster_type set objects = 5")
    await scrub.Scrub(database, Metrics()).once()
    assert await database.readers.fetchval("select objects from fleet.cluster_type") == 301
