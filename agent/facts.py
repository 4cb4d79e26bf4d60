"""What the member says of itself: version, size, capacity. Asked now and then, at a small share of the time."""

from __future__ import annotations

import logging
import re
import time
from contextlib import aclosing
from typing import Final

import msgspec

from agent.errors import KubeError
from agent.kube import Kube
from schema.wire import Facts

log = logging.getLogger(__name__)
NODES: Final = "/api/v1/nodes"
PODS: Final = "/api/v1/pods"
EVERY_SECONDS: Final = 30.0
SHARE: Final = 0.02
"""Of the time that may be spent on asking."""


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = ""
    platform: str = ""


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""


class _NodeStatus(msgspec.Struct):
    allocatable: dict[str, str] | None = None
    conditions: list[_Condition] | None = None


class _Node(msgspec.Struct):
    status: _NodeStatus = msgspec.field(default_factory=_NodeStatus)


_node = msgspec.json.Decoder(_Node)


class FactFinder:
    def __init__(self, kube: Kube) -> None:
        self._kube = kube
        self.facts = Facts(api_server=kube.access.server)
        self._next = 0.0

    async def begin(self) -> Facts:
        """Version and platform. Raises KubeError."""
        version = msgspec.json.decode(await self._kube.get("/version"), type=_Version)
        self.facts.kubernetes_version = version.git_version
        self.facts.platform = version.platform
        return self.facts

    async def refresh(self) -> Facts:
        """Counts anew where it is time to; what cannot be asked keeps its last value."""
        started = time.monotonic()
        if started >= self._next:
            for ask in (self.begin, self._nodes, self._pods):
                try:
                    await ask()
                except (KubeError, msgspec.DecodeError) as error:
                    log.debug("a fact is unknown", extra={"reason": str(error)})
            took = time.monotonic() - started
            self._next = started + max(EVERY_SECONDS, took / SHARE)
        return self.facts

    async def _nodes(self) -> None:
        nodes = ready = cpu = memory = 0
        async with aclosing(self._kube.pages(NODES, limit=100)) as pages:
            async for page in pages:
                for raw in page.items:
                    status = _node.decode(raw).status
                    nodes += 1
                    ready += any(one.type == "Ready" and one.status == "True" for one in status.conditions or ())
                    allocatable = status.allocatable or {}
                    cpu += round(quantity(allocatable.get("cpu", "0")) * 1000)
                    memory += round(quantity(allocatable.get("memory", "0")))
        facts = self.facts
        facts.nodes, facts.nodes_ready, facts.cpu, facts.memory = nodes, ready, cpu, memory

    async def _pods(self) -> None:
        _, self.facts.pods = await self._kube.list_version(PODS)


_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(m|u|n|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|)")
_FACTORS: Final = {
    "": 1.0,
    **{"n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18},
    **{name: 1024.0**power for power, name in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number; 0 where it is none."""
    found = _QUANTITY.fullmatch(text.strip())
    if not found:
        return 0.0
    try:
        return float(found[1]) * _FACTORS[found[2]]
    except ValueError:
        return 0.0
