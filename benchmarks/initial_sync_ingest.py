"""Rows per second that the aggregator stores when fed with ready batches of 6 KB pods from four clusters.

Beside it, on the same Postgres and with the same rows: binary COPY (logged, unindexed, 2 connections) and one upsert
a row (5 connections). CPU is split between aggregator, Postgres and the feeder (which is not counted as ours).
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import aiohttp

from benchmarks import baselines, hub, pods
from benchmarks.measure import CpuClock
from benchmarks.stack import Stack, installation

CLUSTERS = 4
PODS_EACH = 10_000


def run(scale: float) -> dict[str, Any]:
    with installation() as stack:
        return asyncio.run(_measure(stack, int(PODS_EACH * scale)))


async def _measure(stack: Stack, each: int) -> dict[str, Any]:
    connector = aiohttp.TCPConnector(ssl=stack.tls())
    async with aiohttp.ClientSession(connector=connector) as http:
        members = [await hub.add_cluster(http, stack, f"bench-{n}") for n in range(CLUSTERS)]
        ready = []
        for number, member in enumerate(members):
            await member.open()
            maker = hub.FrameMaker(member.type_id)
            frames = [maker.frame(raw) for raw in pods.raw(each, seed=number)]
            ready.append(list(member.batches(frames)))
        print(f"{CLUSTERS} x {each} pods are ready", file=sys.stderr)
        clock = CpuClock(
            {
                "aggregator": stack.pids("aggregator"),
                "postgres": stack.pids("postgres"),
                "feeder": [os.getpid()],
            }
        )
        await asyncio.gather(*(member.push(batches) for member, batches in zip(members, ready, strict=True)))
        wall, used = clock.elapsed(), clock.used()
    return await baselines.beside(stack.database, CLUSTERS * each, wall, used)
