"""Waiting longer after each failure, never in step with others."""

from __future__ import annotations

import random


class Backoff:
    """`next()` doubles from `first` to `last` seconds, each time shortened by up to half at random."""

    def __init__(self, first: float = 0.2, last: float = 30.0) -> None:
        self._first, self._last = first, last
        self._now = first

    def next(self) -> float:
        pause = self._now * random.uniform(0.5, 1.0)
        self._now = min(self._now * 2, self._last)
        return pause

    def reset(self) -> None:
        self._now = self._first
