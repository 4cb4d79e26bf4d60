"""The proof at intervals: each type is compared once per interval, one at a time, spread over it."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from agent.session import Session
from agent.types import Types

SHORTEST_SECONDS: Final = 0.1


async def prove(session: Session, types: Types) -> None:
    """For ever. The first round begins at a random point, so that many agents do not list together."""
    interval = session.welcome.digest_seconds
    await asyncio.sleep(interval * random.random() / 2)
    while True:
        due = sorted(types.running)
        share = max(SHORTEST_SECONDS, interval / max(1, len(due)))
        for key in due:
            running = types.running.get(key)
            if running is not None and running.reflector.status.state == "Synced":
                running.reflector.compare_soon("digest")
            await asyncio.sleep(share)
        if not due:
            await asyncio.sleep(share)
