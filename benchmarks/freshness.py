"""Milliseconds from a change at a real API server to the row in the index, at 100 changes a second.

A generator in a process of its own changes config maps at the set rate. A probe changes one more, about 20 times a
second, and polls the object table each 0.5 ms until the change is there; the clock runs from the sending of the change.
Beside it, in the same run: the same changes read directly from the API server's watch. `--scale` makes a run shorter.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import msgspec
import orjson

from benchmarks.measure import CpuClock, percentile
from benchmarks.stack import Stack, installation
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.plane import ControlPlane

RATE = 100
PROBES = 200
OBJECTS = 300
NAMESPACE = "freshness"


def run(scale: float, rate: int = RATE) -> dict[str, Any]:
    with (
        tempfile.TemporaryDirectory(prefix="fleetpedia-bench-") as folder,
        ControlPlane(Path(folder) / "plane") as plane,
    ):
        kubeconfig = Path(folder) / "members"
        write_kubeconfig(kubeconfig, [plane.context])
        plane.create_namespace(NAMESPACE)
        for number in range(OBJECTS):
            plane.api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", config_map(f"c-{number}"))
        plane.api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", config_map("probe"))
        with installation("--kubeconfig", kubeconfig, "--context", plane.name) as stack:
            runs = [asyncio.run(_measure(stack, kubeconfig, rate, int(PROBES * scale))) for _ in range(3)]
    middle = sorted(runs, key=lambda figures: float(figures["value"]))[1]
    return {**middle, "runs": [(figures["value"], figures["p99"]) for figures in runs], "rate": rate}


def config_map(name: str) -> dict[str, Any]:
    filler = {f"key-{n}": "x" * 60 for n in range(30)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"n": "0"}}, "data": filler}


class Member:
    """The member's API with a client certificate from the kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        import base64

        import yaml

        loaded = yaml.safe_load(kubeconfig.read_text())
        cluster, user = loaded["clusters"][0]["cluster"], loaded["users"][0]["user"]
        self.url = cluster["server"]
        self.context = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(base64.b64decode(user["client-certificate-data"]) + b"\n")
            pair.write(base64.b64decode(user["client-key-data"]))
            pair.flush()
            self.context.load_cert_chain(pair.name)

    def session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(ssl=self.context, limit=20))


async def change(http: aiohttp.ClientSession, name: str, number: int) -> None:
    body = orjson.dumps({"metadata": {"labels": {"n": str(number)}}})
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{name}"
    async with http.patch(path, data=body, headers=headers) as answer:
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {await answer.text()}")
        await answer.read()


async def _measure(stack: Stack, kubeconfig: Path, rate: int, probes: int) -> dict[str, Any]:
    generator = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.freshness", str(kubeconfig), str(rate)
    )
    try:
        await asyncio.sleep(2)  # the generator's own start, so that it is at its pace
        clock = CpuClock(
            {
                "agents": stack.pids("agent-"),
                "aggregator": stack.pids("aggregator"),
                "postgres": stack.pids("postgres"),
                "generator": [generator.pid],
            }
        )
        indexed, direct = await _probe(stack, kubeconfig, probes)
        used, wall = clock.used(), clock.elapsed()
    finally:
        generator.terminate()
        await generator.wait()
    changes = rate * wall + 2 * probes
    return {
        "value": round(percentile(indexed, 0.5), 2),
        "unit": "ms p50",
        "p99": round(percentile(indexed, 0.99), 2),
        "baseline": round(percentile(direct, 0.5), 2),
        "baseline_p99": round(percentile(direct, 0.99), 2),
        "baseline_name": "the API server's own watch, same changes, same run",
        "ratio": round(percentile(direct, 0.5) / percentile(indexed, 0.5), 3),
        "cpu_ms_per_change": {name: round(seconds / changes * 1e3, 3) for name, seconds in used.items()},
        "probes": len(indexed),
    }


async def _probe(stack: Stack, kubeconfig: Path, probes: int) -> tuple[list[float], list[float]]:
    connection = await asyncpg.connect(stack.database)
    lookup = await connection.prepare(
        "select 1 from fleet.object where cluster_id = $1 and type_id = $2 and namespace = $3 and name = 'probe' "
        "and labels @> array[$4]"
    )
    key = await connection.fetchrow("select cluster_id, type_id from fleet.object where name = 'probe' limit 1")

    async def indexed(number: int) -> bool:
        return bool(await lookup.fetch(key["cluster_id"], key["type_id"], NAMESPACE, f"n={number}"))

    indexed_times: list[float] = []
    direct_times: list[float] = []
    rng = random.Random(1)
    try:
        async with Member(kubeconfig).session() as http:
            watched = _Watched(http)
            watching = asyncio.create_task(watched.run())
            await watched.live.wait()
            for number in range(2 * probes):
                # Turn and turn about, so that both meet the same load.
                seen: Callable[[int], Awaitable[bool]] = indexed if number % 2 else watched.seen
                (indexed_times if number % 2 else direct_times).append(await _one(http, seen, time.time_ns()))
                await asyncio.sleep(rng.uniform(0.01, 0.04))
            watching.cancel()
    finally:
        await connection.close()
    return indexed_times, direct_times


async def _one(http: aiohttp.ClientSession, seen: Callable[[int], Awaitable[bool]], number: int) -> float:
    started = time.perf_counter()
    sending = asyncio.create_task(change(http, "probe", number))
    while not await seen(number):
        if time.perf_counter() - started > 30:
            raise TimeoutError("the change did not arrive within 30 s")
        await asyncio.sleep(0.0005)
    taken = (time.perf_counter() - started) * 1e3
    await sending
    return taken


class _Item(msgspec.Struct):
    labels: dict[str, str] = {}


class _Object(msgspec.Struct):
    metadata: _Item


class _Event(msgspec.Struct):
    object: _Object


class _Watched:
    """What the API server's own watch of the probe's object shows."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.live = asyncio.Event()
        self.latest = ""

    async def seen(self, number: int) -> bool:
        return self.latest == str(number)

    async def run(self) -> None:
        path = f"/api/v1/namespaces/{NAMESPACE}/configmaps?watch=true&fieldSelector=metadata.name%3Dprobe"
        async with self.http.get(path, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                self.latest = msgspec.json.decode(line, type=_Event).object.metadata.labels.get("n", "")
                self.live.set()


async def _generate(kubeconfig: Path, rate: int) -> None:
    async with Member(kubeconfig).session() as http, asyncio.TaskGroup() as tasks:
        started = time.perf_counter()
        number = 0
        while True:
            number += 1
            if len(_in_flight) < 50:  # else the server is slower than the rate, and the rate gives way
                task = tasks.create_task(change(http, f"c-{number % OBJECTS}", number))
                _in_flight.add(task)
                task.add_done_callback(_in_flight.discard)
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))


_in_flight: set[asyncio.Task[None]] = set()

if __name__ == "__main__":
    asyncio.run(_generate(Path(sys.argv[1]), int(sys.argv[2])))
