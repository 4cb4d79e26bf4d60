"""Reading the operating system's own accounting of processes."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"


def descendants(pid: int) -> list[int]:
    """`pid` and all that it started, as far as they still run."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue  # it ended while we looked
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for known in found:
        found.extend(children.get(known, ()))
    return found


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of `pids` so far, with that of their ended children that they waited for."""
    total = 0
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue  # it ended; what it used is its parent's now
        total += sum(int(fields[place]) for place in (11, 12, 13, 14))
    return total / _TICK


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


@dataclass
class CpuClock:
    """CPU of named groups of processes between two moments; a group is its root pids with all descendants."""

    groups: dict[str, list[int]]

    def __post_init__(self) -> None:
        self._start = self._read()
        self._wall = time.monotonic()

    def _read(self) -> dict[str, float]:
        return {
            name: cpu_seconds({pid for root in roots for pid in descendants(root)})
            for name, roots in self.groups.items()
        }

    def elapsed(self) -> float:
        return time.monotonic() - self._wall

    def used(self) -> dict[str, float]:
        now = self._read()
        return {name: now[name] - self._start[name] for name in self.groups}


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` (0–1) of `values` lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Iterable[float]) -> float:
    return statistics.median(values)
