"""Megabytes of an agent with in-cluster credentials on a real API server, at 10,000 objects and at 40,000.

The agent is installed by its manifest, with its service account's token, and watches all default types. Beside it:
the official Python client that lists the same 10,000 objects once, in a process of its own. `us_per_event` is the
agent's CPU for a watch event, with TLS, hashing and compression, over a stream of changes.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from benchmarks.freshness import Member, change, config_map
from benchmarks.measure import cpu_seconds, rss_mb
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.plane import ControlPlane
from tests.e2e.pod import installed
from tests.e2e.production import Production

NAMESPACE = "freshness"
SIZES = (10_000, 40_000)
EVENTS = 4_000


def run(scale: float) -> dict[str, Any]:
    small, large = (int(size * scale) for size in SIZES)
    with (
        tempfile.TemporaryDirectory(prefix="fleetpedia-bench-") as folder,
        ControlPlane(Path(folder) / "plane") as plane,
        Production.started() as production,
    ):
        kubeconfig = Path(folder) / "members"
        write_kubeconfig(kubeconfig, [plane.context])
        plane.create_namespace(NAMESPACE)
        asyncio.run(_create(kubeconfig, 0, small))
        at_small, per_event = _agent(production, plane, kubeconfig, Path(folder) / "small", events=int(EVENTS * scale))
        baseline = float(subprocess.check_output([sys.executable, "-m", "benchmarks.agent", str(kubeconfig)]))
        asyncio.run(_create(kubeconfig, small, large))
        at_large, _ = _agent(production, plane, kubeconfig, Path(folder) / "large", events=0)
    return {
        "value": round(at_small, 1),
        "unit": "MB RSS",
        "baseline": round(baseline, 1),
        "baseline_name": "the official Python client after one list of the same objects",
        "ratio": round(at_small / baseline, 3),
        "rss_40k": round(at_large, 1),
        "us_per_event": round(per_event, 1),
        "objects": [small, large],
    }


async def _create(kubeconfig: Path, first: int, last: int) -> None:
    gate = asyncio.Semaphore(40)
    async with Member(kubeconfig).session() as http, asyncio.TaskGroup() as tasks:

        async def one(number: int) -> None:
            async with gate:
                path = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
                body = orjson.dumps(config_map(f"c-{number}"))
                async with http.post(path, data=body, headers={"Content-Type": "application/json"}) as answer:
                    if answer.status != 201:
                        raise RuntimeError(f"{answer.status}: {await answer.text()}")

        for number in range(first, last):
            tasks.create_task(one(number))


def _agent(
    production: Production, plane: ControlPlane, kubeconfig: Path, folder: Path, events: int
) -> tuple[float, float]:
    """Resident megabytes once in sync (and after the events), and microseconds of CPU per event."""
    folder.mkdir()
    with installed(production, plane, "bench", folder) as running:
        production.wait_until(lambda: production.cluster("bench")["phase"] == "Ready", "in sync", timeout=300)
        per_event = 0.0
        if events:
            idle = _cpu_while(running.process.pid, lambda: time.sleep(5)) / 5
            started = time.monotonic()
            used = _cpu_while(running.process.pid, lambda: asyncio.run(_change(kubeconfig, events)))
            per_event = (used - idle * (time.monotonic() - started)) / events * 1e6
        return rss_mb(running.process.pid), per_event


def _cpu_while(pid: int, work: Any) -> float:
    before = cpu_seconds([pid])
    work()
    return cpu_seconds([pid]) - before


async def _change(kubeconfig: Path, events: int) -> None:
    gate = asyncio.Semaphore(16)
    async with Member(kubeconfig).session() as http, asyncio.TaskGroup() as tasks:

        async def one(number: int) -> None:
            async with gate:
                await change(http, f"c-{number % 1000}", number)

        for number in range(events):
            tasks.create_task(one(number))


def _official_client(kubeconfig: str) -> None:
    from kubernetes import client, config

    config.load_kube_config(kubeconfig)  # type: ignore[no-untyped-call]
    listed = client.CoreV1Api().list_config_map_for_all_namespaces()
    assert listed.items
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


if __name__ == "__main__":
    _official_client(sys.argv[1])
