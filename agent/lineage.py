"""Whether a member is still the one that the store knows: restored from a backup, its versions mean other objects.

A watch from a version above the member's own gets no error and silently drops events (traps 16), so before any resume
we ask. The witness is a counter in a Lease of ours that each start raises; the store keeps the last one. Where no Lease
may be written nothing is installed in the member: then each start compares by digest."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from agent.errors import Conflict, Forbidden, KubeError, NotFound
from agent.kube import Kube

log = logging.getLogger(__name__)
NAMESPACE: Final = "fleetpedia-system"
NAME: Final = "fleetpedia-agent"
LEASES: Final = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases"
RENEW_SECONDS: Final = 20.0
SIGHT_SECONDS: Final = 5.0
"""Without a Lease: a member out of sight for longer may have been restored meanwhile."""


class Lineage:
    """`counter` is None where there is no Lease; `made`: one was made anew or had gone back, so nobody vouches for the
    past; `broken`: that was found at the last `begin`, so what this process has seen itself means nothing either."""

    def __init__(self, kube: Kube, instance: str, allowed: bool) -> None:
        self._kube, self._instance, self._allowed = kube, instance, allowed
        self.counter: int | None = None
        self.made = self.broken = False

    async def begin(self) -> int | None:
        """Raise the counter at the begin of each session. Raises KubeError where the member cannot say.

        A process that is between sessions, paused or standing by does not see a restore: the Lease tells of it."""
        if self._allowed:
            before, self.counter = self.counter, await self._raise()
            self.broken = before is not None and (self.counter is None or self.counter <= before)
            self.made |= self.broken
        return self.counter

    async def renew(self) -> None:
        """Raise the counter now and then, so that a backup is known as one whenever it was taken. For ever."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            if self.counter is None:
                continue
            try:
                found = await self._read()
                if _counter(found) >= self.counter:
                    self.counter = await self._write(found)
            except KubeError as error:
                log.info("the lease is not renewed", extra={"reason": error.message})

    async def doubt(self, path: str, version: str, gap: float | None = None) -> str:
        """Why `version` of the list at `path` must not be resumed from; empty where it may.

        `gap`: seconds that the member was out of sight, None where a Lease's own witness at this start was enough."""
        if self.counter is not None:
            if gap is not None and not await self._lease_stands():
                return "rewound"
        elif gap is not None and gap > SIGHT_SECONDS:
            return "out-of-sight"
        now, _ = await self._kube.list_version(path)
        if now.isdigit() and version.isdigit() and int(now) < int(version):
            return "rewound"
        return ""

    async def _lease_stands(self) -> bool:
        try:
            lease = await self._read()
        except NotFound:
            return False
        except Forbidden:
            return False
        # Another agent of this member may have raised it since; only a lower one tells of the past.
        return self.counter is not None and _counter(lease) >= self.counter

    async def _raise(self) -> int | None:
        for _ in range(5):
            try:
                return await self._raise_once()
            except Conflict:
                continue
            except (Forbidden, NotFound) as error:
                log.info("no lease may be written, each start compares by digest", extra={"reason": error.message})
                return None
        raise KubeError(f"the lease {NAMESPACE}/{NAME} is written by somebody else all the time")

    async def _raise_once(self) -> int:
        try:
            lease = await self._read()
        except NotFound:
            metadata = {"name": NAME, "namespace": NAMESPACE}
            lease = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": {}}
            await self._kube.ask("POST", LEASES, body=self._stamped(lease, 1))
            self.made = True
            return 1
        return await self._write(lease)

    async def _write(self, lease: dict[str, Any]) -> int:
        counter = _counter(lease) + 1
        await self._kube.ask("PUT", f"{LEASES}/{NAME}", body=self._stamped(lease, counter))
        return counter

    async def _read(self) -> dict[str, Any]:
        lease: dict[str, Any] = orjson.loads(await self._kube.get(f"{LEASES}/{NAME}"))
        return lease

    def _stamped(self, lease: dict[str, Any], counter: int) -> bytes:
        spec = lease.setdefault("spec", {})
        spec |= {
            "holderIdentity": self._instance,
            "leaseTransitions": counter,
            "acquireTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        }
        return orjson.dumps(lease)


def _counter(lease: dict[str, Any]) -> int:
    return int((lease.get("spec") or {}).get("leaseTransitions") or 0)
