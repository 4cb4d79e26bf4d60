"""Hot statements go by their indexes, with a table that is worth one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aggregator.storage import changes, digests, scrub
from aggregator.storage.pool import Database
from tests.integration.ingest.conftest import Member, ingest, member
from tests.integration.ingest.objects import delete, upsert

__all__ = ["ingest", "member"]

_FILL = """
insert into fleet.object (cluster_id, type_id, namespace, name, uid, resource_version, cursor, fingerprint, bucket,
                          layout, size, object, body)
select c, t, 'ns' || n % 20, 'name' || n, '', '', n, n, n % 256, '{}', 0, '{}', ''
  from generate_series(1, 5) c, generate_series(1, 4) t, generate_series(1, 1000) n"""


@pytest.fixture
async def filled(database: Database) -> Database:
    await database.writers.execute(_FILL)
    await database.writers.execute(
        "insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version) "
        "select n, 1, n % 40, 'added', '', 'x', '', '' from generate_series(1, 20000) n"
    )
    await database.writers.execute("analyze fleet.object")
    await database.writers.execute("analyze fleet.change")
    return database


def _nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for child in plan.get("Plans", []) for node in _nodes(child))]


async def _plan(database: Database, sql: str, *args: Any) -> list[dict[str, Any]]:
    text = await database.readers.fetchval(f"explain (format json) {sql}", *args)
    return _nodes(json.loads(text)[0]["Plan"])


@pytest.mark.parametrize(
    ("sql", "args"),
    [
        (digests._DIGEST, (1, 2)),
        (digests._OF_BUCKETS, (1, 2, [3, 4])),
        (digests._OF_KEYS, (1, 2, ["ns1"], ["name1"])),
        (scrub._ROWS, (1, 2, "ns1", "name5", 200)),
    ],
    ids=["digest", "buckets", "keys", "scrub"],
)
async def test_questions_about_one_type_read_its_rows_only(filled: Database, sql: str, args: tuple[Any, ...]) -> None:
    on_object = [node for node in await _plan(filled, sql, *args) if node.get("Relation Name") == "object"]
    assert on_object
    assert all(node["Node Type"] != "Seq Scan" for node in on_object)


async def test_the_log_is_read_in_its_order_without_a_sort(filled: Database) -> None:
    nodes = await _plan(filled, changes._READ, 19_000, 20_000, None, 2000)
    assert {node["Node Type"] for node in nodes} & {"Index Scan", "Index Only Scan"}
    assert "Sort" not in {node["Node Type"] for node in nodes}


async def test_a_batch_is_planned_by_key_though_the_table_is_empty(database: Database) -> None:
    """The plans inside fleet.apply_batch are made once; made on an empty table they must not be scans of it."""
    async with database.writers.acquire() as connection:
        for setting in ("enable_seqscan", "enable_hashjoin", "enable_mergejoin", "enable_bitmapscan"):
            configured = await connection.fetchval(
                "select proconfig from pg_proc where oid = 'fleet.apply_batch'::regproc"
            )
            assert f"{setting}=off" in configured
        assert "plan_cache_mode=force_generic_plan" in configured


async def test_a_batch_reads_no_row_that_it_does_not_change(member: Member, database: Database) -> None:
    """From an empty table on, without statistics: each object costs one lookup by its whole key. Two other ways were
    once taken: over all rows of the cluster, and through the trigram index on names."""
    type_id = member.ids["configmaps"]
    for batch in range(12):
        await member.push(*(upsert(type_id, f"o{batch}-{number}") for number in range(200)))
    await member.push(*(upsert(type_id, f"o0-{number}", version="2") for number in range(200)))
    await member.push(*(delete(type_id, f"o1-{number}") for number in range(200)))
    async with database.writers.acquire() as connection, database.writers.acquire() as other:
        for each in (connection, other):
            await each.execute("select pg_stat_force_next_flush()")
    rows = await database.readers.fetch(
        "select indexrelname, idx_scan, idx_tup_read from pg_stat_user_indexes where relname = 'object'"
    )
    read = {row["indexrelname"]: row["idx_tup_read"] for row in rows}
    assert read["object_name"] == 0
    assert sum(read.values()) < 5000
    assert await database.readers.fetchval("select count(*) from fleet.object") == 2200
