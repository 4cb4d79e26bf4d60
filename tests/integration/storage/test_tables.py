"""schema.tables and the migrated database tell the same; the rules of the tables hold."""

from __future__ import annotations

from sqlalchemy.dialects import postgresql

from aggregator.storage.pool import Database
from schema.tables import metadata

_COLUMNS = """
select c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'fleet' and c.relkind in ('r', 'p') and not c.relispartition and a.attnum > 0 and not a.attisdropped
   and c.relname <> 'alembic_version'
 order by c.relname, a.attnum"""
_KEYS = """
select i.indrelid::regclass::text as on_table, i.indexrelid::regclass::text as index, i.indisprimary,
       array(select a.attname::text from unnest(i.indkey) with ordinality as k(n, at)
               join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.n order by k.at) as columns
  from pg_index i join pg_class c on c.oid = i.indrelid join pg_namespace n on n.oid = c.relnamespace
 where n.nspname = 'fleet'"""


async def test_the_metadata_equals_the_migrated_database(database: Database) -> None:
    rows = await database.readers.fetch(_COLUMNS)
    found = {(row[0], row[1]): (row[2].upper(), row[3]) for row in rows}
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    told = {
        (table.name, column.name): (str(column.type.compile(dialect)), not column.nullable)
        for table in metadata.tables.values()
        for column in table.columns
    }
    assert told == found


async def test_no_index_holds_a_column_that_changes_at_every_update(database: Database) -> None:
    for row in await database.readers.fetch(_KEYS):
        if row["on_table"] == "fleet.object":
            assert not {"cursor", "fingerprint", "resource_version", "object", "body", "cells"} & set(row["columns"])


async def test_every_unique_key_of_object_begins_with_the_cluster(database: Database) -> None:
    keys = [row["columns"] for row in await database.readers.fetch(f"{_KEYS} and i.indisunique")
            if row["on_table"] == "fleet.object"]  # fmt: skip
    assert keys == [["cluster_id", "type_id", "namespace", "name"]]
    assert await database.readers.fetchval(
        "select count(*) from pg_constraint where contype = 'f' and conrelid = 'fleet.object'::regclass"
    ) == 0  # fmt: skip


async def test_updates_of_a_status_stay_in_the_page(database: Database) -> None:
    """HOT: a change of what is not indexed touches no index."""
    await database.writers.execute(
        "insert into fleet.object (cluster_id, type_id, namespace, name, uid, resource_version, cursor, fingerprint, "
        "bucket, layout, size, object, body) select 1, 1, '', n::text, '', '', 1, 1, 1, '{}', 0, '{}', '' "
        "from generate_series(1, 100) n"
    )
    async with database.writers.acquire() as connection:
        for number in range(5):
            await connection.execute(
                "update fleet.object set status = $1, cursor = $2, labels = '{}'", str(number), number
            )
        await connection.execute("select pg_stat_force_next_flush()")
    row = await database.readers.fetchrow(
        "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'object'"
    )
    assert row is not None
    assert row["n_tup_upd"] == 500
    assert row["n_tup_hot_upd"] >= 250  # after the first fill of the pages' free fifth it depends on pruning
