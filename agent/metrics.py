"""Counters and gauges, and their text form for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, dict[str, str], float]

HELP: Final = {
    "fleetpedia_type_lag_seconds": "Seconds since a type was last known to be current",
    "fleetpedia_digest_mismatch_total": "Comparisons at intervals that found a difference",
    "fleetpedia_resync_total": "Lists and comparisons, by reason",
    "fleetpedia_rejected_objects_total": "Objects that could not be sent or stored",
    "fleetpedia_agent_events_total": "Watch events read",
    "fleetpedia_agent_listed_objects_total": "Objects read from lists",
    "fleetpedia_agent_batches_total": "Batches that the aggregator committed",
    "fleetpedia_agent_deltas_total": "Deltas that the aggregator committed",
    "fleetpedia_agent_noops_total": "Deltas that changed nothing in the store",
    "fleetpedia_agent_object_bytes_sent_total": "Compressed bytes of objects sent",
    "fleetpedia_agent_push_failures_total": "Requests to push that failed",
    "fleetpedia_agent_buffered": "Deltas in the buffer",
    "fleetpedia_agent_buffered_bytes": "Bytes in the buffer",
    "fleetpedia_agent_connections": "Open requests to the member's API server",
    "fleetpedia_agent_member_seen_seconds": "Seconds since the member's API server last answered",
    "fleetpedia_agent_epoch": "Epoch of the session, 0 = none",
}


class Metrics:
    """Of one member; `cluster` is put on each sample once it is known."""

    def __init__(self) -> None:
        self.cluster = ""
        self._counters: dict[tuple[str, Labels], float] = {}
        self.gauges: Callable[[], Iterable[Sample]] = tuple

    def count(self, name: str, by: float = 1, **labels: str) -> None:
        key = (name, tuple(labels.items()))
        self._counters[key] = self._counters.get(key, 0) + by

    def value(self, name: str, **labels: str) -> float:
        return self._counters.get((name, tuple(labels.items())), 0)

    def samples(self) -> Iterable[Sample]:
        for (name, labels), value in self._counters.items():
            yield name, {"cluster": self.cluster, **dict(labels)}, value
        for name, more, value in self.gauges():
            yield name, {"cluster": self.cluster, **more}, value


def exposition(members: Iterable[Metrics]) -> str:
    """The text format 0.0.4."""
    families: dict[str, list[str]] = {}
    for member in members:
        for name, labels, value in member.samples():
            inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
            families.setdefault(name, []).append(f"{name}{{{inner}}} {value:.12g}")
    lines = []
    for name in sorted(families):
        lines.append(f"# HELP {name} {HELP.get(name, name)}")
        lines.append(f"# TYPE {name} {'counter' if name.endswith('_total') else 'gauge'}")
        lines += families[name]
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
