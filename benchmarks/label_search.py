"""Milliseconds for a search by label that finds 20 rows among 40,000 pods, beside the same without the index."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp

from benchmarks import baselines
from benchmarks.list_500 import fill
from benchmarks.measure import median, percentile
from benchmarks.stack import Stack, installation

PODS = 40_000
REQUESTS = 200
LABEL = "benchmark.example.io/group"


def run(scale: float) -> dict[str, Any]:
    with installation() as stack:
        return asyncio.run(_measure(stack, int(PODS * scale)))


async def _measure(stack: Stack, count: int) -> dict[str, Any]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=stack.tls())) as http:
        await fill(http, stack, count // 2, "bench-a", seed=1)
        await fill(http, stack, count - count // 2, "bench-b", seed=2)
        label = await _label_of_twenty(stack.database)
        times = []
        headers = {"Authorization": f"Bearer {stack.token}"}
        url = f"{stack.url}/api/v1/search"
        found = 0
        for number in range(REQUESTS + 10):
            started = time.perf_counter()
            async with http.get(
                url, params={"q": f"label.{label.replace('=', ':')}", "limit": "20"}, headers=headers
            ) as answer:
                body = await answer.json()
                if answer.status != 200:
                    raise RuntimeError(f"{answer.status} {body}")
            if number >= 10:
                times.append((time.perf_counter() - started) * 1e3)
            found = len(body["items"])
    baseline = await _without_index(stack.database, label)
    return {
        "value": round(median(times), 2),
        "unit": "ms p50",
        "p99": round(percentile(times, 0.99), 2),
        "baseline": round(baseline, 2),
        "baseline_name": "the same label in the JSONB object, sequential scan in Postgres alone",
        "ratio": round(baseline / median(times), 1),
        "rows_found": found,
        "objects": count,
    }


async def _label_of_twenty(url: str) -> str:
    """A label pair that about 20 pods carry: one is put on them by hand where none is that rare."""
    connection = await baselines.connect(url)
    try:
        row = await connection.fetchrow(
            "select label, count(*) as n from (select unnest(labels) as label from fleet.object) l "
            "where label like '%=%' group by label order by abs(count(*) - 20), label limit 1"
        )
        return str(row["label"])
    finally:
        await connection.close()


async def _without_index(url: str, label: str) -> float:
    connection = await baselines.connect(url)
    key, _, value = label.partition("=")
    try:
        times = []
        for _ in range(5):
            started = time.perf_counter()
            await connection.fetch(
                "select cluster_id, namespace, name from fleet.object "
                "where object #>> array['metadata', 'labels', $1] = $2 limit 20",
                key,
                value,
            )
            times.append((time.perf_counter() - started) * 1e3)
        return median(times)
    finally:
        await connection.close()
