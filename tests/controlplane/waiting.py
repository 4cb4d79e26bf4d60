"""Waiting for a condition, never for a time: bounded, and with a reason when it does not come."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 0.5


def wait_until(
    condition: Callable[[], T | None],
    what: str,
    *,
    timeout: float = 30.0,
    explain: Callable[[], str] | None = None,
) -> T:
    """Asks `condition` until it gives something true, and returns that.

    Raises TimeoutError after `timeout` seconds, with `what` was waited for, the last answer and `explain()`.
    """
    deadline = time.monotonic() + timeout
    pause = FIRST_PAUSE_SECONDS
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            reason = f"{what}: not within {timeout:g} s; last answer: {answer!r}"
            raise TimeoutError(f"{reason}\n{explain()}" if explain else reason)
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
