"""Pods of 6 KB as an API server lists them, from the simulator's templates."""

from __future__ import annotations

from collections.abc import Iterator

from simulator.population import Population, Templates
from simulator.rows import Identity


def raw(count: int, seed: int = 0, pod_bytes: int = 6000) -> Iterator[bytes]:
    """`count` pods as items of a list: without apiVersion and kind, with managedFields."""
    population = Population(Templates(seed, pod_bytes), 0, count + count // 5 + 500, 1_760_000_000, only="pods")
    identity = Identity(seed * 7919 + 1)
    rows = population.sets[("", "pods")].rows
    if len(rows) < count:
        raise ValueError(f"the population holds {len(rows)} pods, not {count}")
    for number, row in enumerate(rows[:count]):
        yield b"{" + row.body(identity, 1_000_000 + number)
