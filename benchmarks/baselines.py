"""What the same Postgres does with the same rows by other ways: the yardsticks of the ingest figures.

- `copy`: binary COPY of the same columns into a logged table without indexes, over two connections.
- `rows`: one upsert a row into a table like ours with its indexes, each its own transaction, over five connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import asyncpg

Row = tuple[Any, ...]


async def connect(url: str) -> asyncpg.Connection:
    connection = await asyncpg.connect(url)
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", format="binary", encoder=lambda b: b"\x01" + b, decoder=lambda b: b[1:]
    )
    return connection


async def sample(url: str, count: int) -> tuple[list[str], list[Row]]:
    """Columns and up to `count` rows of the object table, as asyncpg gives and takes them."""
    connection = await connect(url)
    try:
        records = await connection.fetch("select * from fleet.object limit $1", count)
        return list(records[0].keys()), [tuple(record) for record in records]
    finally:
        await connection.close()


async def copy(url: str, columns: Sequence[str], rows: Sequence[Row], connections: int = 2) -> float:
    """Rows per second of binary COPY into a logged table without any index."""
    first = await connect(url)
    await first.execute(
        "drop table if exists fleet.baseline_copy; "
        "create table fleet.baseline_copy (like fleet.object including storage including compression)"
    )
    opened = [await connect(url) for _ in range(connections)]
    try:
        started = time.monotonic()
        await asyncio.gather(*(_copy_slices(c, columns, rows[n::connections]) for n, c in enumerate(opened)))
        return len(rows) / (time.monotonic() - started)
    finally:
        for connection in opened:
            await connection.close()
        await first.execute("drop table fleet.baseline_copy")
        await first.close()


async def beside(url: str, stored: int, seconds: float, cpu: dict[str, float]) -> dict[str, Any]:
    """The figures of `stored` rows in `seconds`, beside both yardsticks over the same rows. `cpu`: seconds by name."""
    columns, sampled = await sample(url, stored)
    if len(sampled) != stored:
        raise RuntimeError(f"the table holds {len(sampled)} rows, {stored} were stored")
    copied = await copy(url, columns, sampled)
    single = await rows(url, columns, sampled[: max(1000, stored // 10)])
    rate = stored / seconds
    return {
        "value": round(rate),
        "unit": "rows/s",
        "baseline": round(copied),
        "baseline_name": "binary COPY, logged, unindexed, 2 connections",
        "ratio": round(rate / copied, 3),
        "row_at_a_time": round(single),
        "ratio_row_at_a_time": round(rate / single, 2),
        "cpu_us_per_row": {name: round(used / stored * 1e6, 1) for name, used in cpu.items()},
        "rows": stored,
        "wall_s": round(seconds, 2),
    }


async def count(url: str) -> int:
    connection = await connect(url)
    try:
        return int(await connection.fetchval("select count(*) from fleet.object"))
    finally:
        await connection.close()


async def _copy_slices(connection: asyncpg.Connection, columns: Sequence[str], rows: Sequence[Row]) -> None:
    for start in range(0, len(rows), 500):
        await connection.copy_records_to_table(
            "baseline_copy", schema_name="fleet", columns=columns, records=rows[start : start + 500]
        )


async def rows(url: str, columns: Sequence[str], data: Sequence[Row], connections: int = 5) -> float:
    """Rows per second of one upsert a row, committed each, into a table with our indexes."""
    first = await connect(url)
    await first.execute(
        "drop table if exists fleet.baseline_rows; create table fleet.baseline_rows (like fleet.object including all)"
    )
    names = ", ".join(columns)
    places = ", ".join(f"${n + 1}" for n in range(len(columns)))
    updates = ", ".join(f"{name} = excluded.{name}" for name in columns)
    statement = (
        f"insert into fleet.baseline_rows ({names}) values ({places}) "
        f"on conflict (cluster_id, type_id, namespace, name) do update set {updates}"
    )
    opened = [await connect(url) for _ in range(connections)]
    try:
        started = time.monotonic()
        await asyncio.gather(*(_upsert_each(c, statement, data[n::connections]) for n, c in enumerate(opened)))
        return len(data) / (time.monotonic() - started)
    finally:
        for connection in opened:
            await connection.close()
        await first.execute("drop table fleet.baseline_rows")
        await first.close()


async def _upsert_each(connection: asyncpg.Connection, statement: str, data: Sequence[Row]) -> None:
    prepared = await connection.prepare(statement)
    for row in data:
        await prepared.fetch(*row)
