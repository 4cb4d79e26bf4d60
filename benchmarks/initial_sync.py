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
    # Agents are children of the aggregator here, and all that they used since the clock started is theirs.
    used["agents"] = cpu_seconds(stack.pids("agent-"))
    used["aggregator"] = max(0.0, used["aggregator"] - used["agents"])
    stored = asyncio.run(baselines.count(stack.database))
    return asyncio.run(baselines.beside(stack.database, stored, wall, used))


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
