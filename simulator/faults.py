"""What goes wrong on purpose: when, in which member, for how long."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import status

KINDS = {
    "cut_watches": "ends every running watch without a word",
    "expire": "forgets past changes: older versions are 410",
    "unavailable": "503 to every request",
    "throttle": "429 with Retry-After to every request",
    "error": "500 to every request",
    "slow": "every request waits `seconds` first",
    "down": "connections are closed without an answer, watches too",
    "forbidden": "403 on `resource` (`pods`, `deployments.apps`)",
    "stale_discovery": "`group` is marked Stale and empty in discovery",
}
_OTHER_NAMES = {"410": "expire", "503": "unavailable", "429": "throttle", "500": "error"}
MOMENTARY = ("cut_watches", "expire")


class MemberDownError(Exception):
    """The member does not answer: the connection is to be closed."""


@dataclass(slots=True)
class Fault:
    what: str
    member: str = ""
    """Empty: all members."""
    after: float = 0.0
    every: float = 0.0
    lasts: float = 0.0
    """Seconds; 0 = until it is cleared."""
    seconds: float = 1.0
    resource: str = ""
    group: str = ""


def parse_fault(entry: Mapping[str, Any]) -> Fault:
    """One entry of a faults file. Raises ValueError that names what is wrong."""
    known = {"after_s", "every", "every_s", "member", "what", "for_s", "seconds", "resource", "group"}
    if unknown := set(entry) - known:
        raise ValueError(f"fault {dict(entry)}: unknown {sorted(unknown)}; known are {sorted(known)}")
    what = str(entry.get("what", ""))
    what = _OTHER_NAMES.get(what, what)
    if what not in KINDS:
        raise ValueError(f"fault {dict(entry)}: what is {what!r}; it must be one of {', '.join(KINDS)}")
    if what == "forbidden" and not entry.get("resource"):
        raise ValueError(f"fault {dict(entry)}: forbidden needs a resource, e.g. secrets or deployments.apps")
    return Fault(
        what,
        str(entry.get("member") or ""),
        float(entry.get("after_s", 0)),
        float(entry.get("every_s", entry.get("every", 0))),
        float(entry.get("for_s", 0)),
        float(entry.get("seconds", 1)),
        str(entry.get("resource", "")),
        str(entry.get("group", "")),
    )


@dataclass
class Faults:
    """The faults of a fleet; `act` carries out the momentary ones."""

    act: Callable[[Fault], None]
    active: list[tuple[Fault, float]] = field(default_factory=list)
    """With the moment (monotonic) at which each ends."""

    def begin(self, fault: Fault) -> None:
        if fault.what in MOMENTARY:
            self.act(fault)
            return
        if fault.what == "down":
            self.act(Fault("cut_watches", fault.member))
        end = time.monotonic() + fault.lasts if fault.lasts else float("inf")
        self.active.append((fault, end))

    def clear(self, member: str = "") -> None:
        self.active = [(fault, end) for fault, end in self.active if member and fault.member != member]

    def _of(self, member: str) -> list[Fault]:
        if not self.active:
            return []
        now = time.monotonic()
        self.active = [(fault, end) for fault, end in self.active if end > now]
        return [fault for fault, _ in self.active if fault.member in ("", member)]

    async def before(self, member: str, path: str) -> None:
        """Raises what a request meets; waits where the member is slow."""
        for fault in self._of(member):
            match fault.what:
                case "down":
                    raise MemberDownError(member)
                case "unavailable":
                    raise status.unavailable()
                case "throttle":
                    raise status.too_many_requests(max(1, round(fault.seconds)))
                case "error":
                    raise status.internal_error()
                case "slow":
                    await asyncio.sleep(fault.seconds)

    def allowed(self, member: str, verb: str, resource: str, group: str) -> None:
        """Raises 403 where the right to a type is taken away."""
        qualified = f"{resource}.{group}" if group else resource
        for fault in self._of(member):
            if fault.what == "forbidden" and fault.resource == qualified:
                raise status.forbidden(verb, resource, group)

    def stale(self, member: str) -> frozenset[str]:
        return frozenset(fault.group for fault in self._of(member) if fault.what == "stale_discovery")

    async def run(self, faults: list[Fault]) -> None:
        """Carries out a plan: each fault at its time, again and again where it says so."""
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._schedule(fault))

    async def _schedule(self, fault: Fault) -> None:
        await asyncio.sleep(fault.after or fault.every)
        self.begin(fault)
        while fault.every:
            await asyncio.sleep(fault.every)
            self.begin(fault)
