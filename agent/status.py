"""What the agent knows of each type's state, and what of it the aggregator has not heard yet."""

from __future__ import annotations

import time
from collections.abc import Callable

from schema.resource import TypeState
from schema.wire import TypeReport


class TypeStatus:
    def __init__(self, id: int, name: str, changed: Callable[[], None]) -> None:
        self.id, self.name = id, name
        self._changed = changed
        self.state: TypeState = "Pending"
        self.reason = ""
        self._lost: float | None = time.monotonic()
        """time.monotonic at which the type ceased to be current; None while its watch is alive."""
        self._reported: tuple[TypeState, str, bool] | None = None

    @property
    def lag(self) -> float:
        return 0.0 if self._lost is None else time.monotonic() - self._lost

    def set(self, state: TypeState, reason: str = "") -> None:
        before = (self.state, self.reason)
        self.state, self.reason = state, reason[:500]
        if (self.state, self.reason) != before:
            self._changed()

    def current(self) -> None:
        self.set("Synced")
        self._lost = None

    def lost(self) -> None:
        if self._lost is None:
            self._lost = time.monotonic()

    def report(self, always: bool) -> TypeReport | None:
        """None where nothing is new. A type that lags is always new."""
        now = (self.state, self.reason, self._lost is None)
        if not always and now == self._reported and self._lost is None:
            return None
        self._reported = now
        return TypeReport(self.id, self.state, self.reason, round(self.lag, 3))
