"""Order-free digests of a set of objects: count and sum of fingerprints, per bucket."""

from __future__ import annotations

from schema.body import unsigned
from schema.wire import BUCKETS


class Digest:
    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.sums = [0] * BUCKETS

    def add(self, bucket: int, fingerprint: int) -> None:
        self.counts[bucket] += 1
        self.sums[bucket] = unsigned(self.sums[bucket] + fingerprint)

    @property
    def objects(self) -> int:
        return sum(self.counts)
