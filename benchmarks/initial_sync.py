"""Rows per second from empty to in sync: two simulated members with 20,000 pods of 6 KB each.

Everything runs on this machine. The clock starts when the members are added to an installation that already runs and
stops when every type of both members is in sync. Beside it: binary COPY of the same columns on the same Postgres.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import baselines
from benchmarks.measure import CpuClock, cpu_seconds
from benchmarks.stack import Stack, fleetpedia, installation, process

MEMBERS = ("bench-a", "bench-b")
PODS_EACH = 20_000


def run(scale: float) -> dict[str, Any]:
    each = int(PODS_EACH * scale)
    with tempfile.TemporaryDirectory(prefix="fleetpedia-bench-") as folder:
        kubeconfig = Path(folder) / "members"
        simulator = (sys.executable, "-m", "simulator", "--clusters", str(len(MEMBERS)), "--names", ",".join(MEMBERS))
        size = ("--objects", str(each), "--only", "pods", "--pod-bytes", "6000", "--churn", "0", "--seed", "1")
        with (
            process(*simulator, *size, "--kubeconfig", kubeconfig, ready=kubeconfig) as members,
            installation() as stack,
        ):
            return _measure(stack, members.pid, kubeconfig)


def _measure(stack: Stack, simulator: int, kubeconfig: Path) -> dict[str, Any]:
    clock = CpuClock(
        {"aggregator": stack.pids("aggregator"), "postgres": stack.pids("postgres"), "generator": [simulator]}
    )
    for member in MEMBERS:
        _add(stack, member, kubeconfig)
    agents_started = time.monotonic()
    while not _in_sync(stack):
        if time.monotonic() - agents_started > 600:
            raise TimeoutError(f"not in sync after 600 s: {stack.get_json('/api/v1/clusters')}")
        time.sleep(0.1)
    wall, used = clock.elapsed(), clock.used()
    columns, sample = asyncio.run(baselines.sample(stack.database, 100_000))
    copied = asyncio.run(baselines.copy(stack.database, columns, sample))
    single = asyncio.run(baselines.rows(stack.database, columns, sample[: max(1000, len(sample) // 10)]))
    rows = len(sample)
    # Agents are children of the aggregator here, and all that they used since the clock started is theirs.
    agents = cpu_seconds(stack.pids("agent-"))
    used["agents"] = agents
    used["aggregator"] = max(0.0, used["aggregator"] - agents)
    rate = rows / wall
    return {
        "value": round(rate),
        "unit": "rows/s",
        "baseline": round(copied),
        "baseline_name": "binary COPY, logged, unindexed, 2 connections",
        "ratio": round(rate / copied, 3),
        "row_at_a_time": round(single),
        "ratio_row_at_a_time": round(rate / single, 2),
        "cpu_us_per_row": {name: round(seconds / rows * 1e6, 1) for name, seconds in used.items()},
        "rows": rows,
        "wall_s": round(wall, 2),
    }


def _add(stack: Stack, member: str, kubeconfig: Path) -> None:
    fleetpedia("clusters", "add", member, "--kubeconfig", kubeconfig, "--context", member, "--data", stack.data)


def _in_sync(stack: Stack) -> bool:
    clusters = {cluster["name"]: cluster for cluster in stack.get_json("/api/v1/clusters")["items"]}
    return all(
        name in clusters
        and clusters[name]["phase"] == "Ready"
        and clusters[name]["types"]
        and all(kind["state"] in ("Synced", "Excluded") for kind in clusters[name]["types"])
        for name in MEMBERS
    )
