"""Bring the store's rows of one type to what the member has, sending only what differs (docs: Words, Comparison)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec

from agent.digest import Digest
from agent.errors import KubeError
from agent.session import Session
from agent.slim import Slimmer, Unreadable
from schema.wire import BUCKETS, Delete, Delta, DigestReply, DigestRequest, Fingerprint

log = logging.getLogger(__name__)
BREATH: Final = 64
"""Objects worked off before others get their turn on the event loop."""


class Outcome(NamedTuple):
    """`exact`: the list was of the very version that the store stood at, so each difference is a real one."""

    version: str
    differing: list[int]
    exact: bool


class Comparison:
    """One type in one session. All methods raise KubeError and FleetpediaError."""

    def __init__(self, session: Session, slimmer: Slimmer, type_id: int) -> None:
        self._session, self._slimmer, self._id = session, slimmer, type_id
        self._path = slimmer.type.path
        self.sent = 0
        """Objects that were put into the buffer since the start."""

    async def fill(self) -> str:
        """List into an empty store. Returns the version to watch from."""
        version = ""
        async with aclosing(self._session.kube.pages(self._path)) as pages:
            async for page in pages:
                version = version or page.version
                await self._each(page.items, self._put)
        return version

    async def compare(self, at: str = "") -> Outcome:
        """Two passes against a filled store. `at`: the version that the store stands at, where that is known."""
        await self._session.buffer.drained(self._id)
        version, digest, exact = await self._digest(at)
        request = DigestRequest(self._session.epoch, self._id, digest.counts, digest.sums)
        reply = await self._session.ask("digest", request, DigestReply)
        if reply.differing:
            await self._repair(version, reply.differing)
        return Outcome(version, reply.differing, exact)

    async def renew(self) -> Outcome:
        """Everything differs (another shape): list once, send all, delete what the list lacks."""
        await self._session.buffer.drained(self._id)
        everything = list(range(BUCKETS))
        return Outcome(await self._repair("", everything), everything, exact=False)

    async def _digest(self, at: str) -> tuple[str, Digest, bool]:
        if at:
            try:
                return *await self._digest_of(at), True
            except KubeError:
                pass  # mostly: that version is kept no longer; the current one will do, or fails for the same reason
        return *await self._digest_of(""), False

    async def _digest_of(self, exactly: str) -> tuple[str, Digest]:
        version, digest = "", Digest()

        def fold(raw: bytes) -> Delta | None:
            seen = self._slimmer.print(raw)
            if seen is not None:
                digest.add(seen.bucket, seen.fingerprint)
            return None

        async with aclosing(self._session.kube.pages(self._path, exactly=exactly)) as pages:
            async for page in pages:
                version = version or page.version
                await self._each(page.items, fold)
        return exactly or version, digest

    async def _repair(self, version: str, differing: list[int]) -> str:
        """List again, at `version` where the server still has it (else at any: the watch from `version` repairs what
        lies between), and put what the store has otherwise, or too much."""
        rows = await self._session.fingerprints(self._id, differing)
        before = self.sent
        try:
            version = await self._put_differing(version, set(differing), dict(rows))
        except KubeError:
            if not version:
                raise
            await self._put_differing("", set(differing), dict(rows))
        log.info(
            "healed a difference",
            extra={"type": self._slimmer.type.name, "buckets": differing[:10], "objects": self.sent - before},
        )
        return version

    async def _put_differing(self, exactly: str, differing: set[int], rows: dict[tuple[str, str], Fingerprint]) -> str:
        version = ""

        def put(raw: bytes) -> Delta | None:
            seen = self._slimmer.print(raw)
            if seen is None or seen.bucket not in differing:
                return None
            row = rows.pop((seen.namespace, seen.name), None)
            if row is not None and row.uid == seen.uid and row.fingerprint == seen.fingerprint:
                return None
            if row is not None and row.uid != seen.uid:
                # Said in words: the upsert alone would replace it, but an upsert that is deleted before it is sent
                # leaves only the delete of its own uid, and the old one would stay as a ghost.
                self._delete(row)
            return self._put(raw)

        async with aclosing(self._session.kube.pages(self._path, exactly=exactly)) as pages:
            async for page in pages:
                version = version or page.version
                await self._each(page.items, put)
        for row in rows.values():
            await self._session.buffer.room()
            self._delete(row)
        return exactly or version

    def _delete(self, row: Fingerprint) -> None:
        self._session.buffer.put(Delete(self._id, row.namespace, row.name, row.uid, time.time()))
        self.sent += 1

    def _put(self, raw: bytes) -> Delta | None:
        delta = self._slimmer.upsert(self._id, raw, time.time())
        # What the policy leaves out is not in the list's live set; a ghost of it is found by its missing print.
        return None if isinstance(delta, Delete) else delta

    async def _each(self, items: list[msgspec.Raw], work: Callable[[bytes], Delta | None]) -> None:
        """Work off a page, putting what `work` returns."""
        buffer = self._session.buffer
        for position, item in enumerate(items):
            if position % BREATH == BREATH - 1:
                await asyncio.sleep(0)
            try:
                delta = work(bytes(item))
            except Unreadable as error:
                self._unreadable(error)
                continue
            if delta is not None:
                await buffer.room()
                buffer.put(delta)
                self.sent += 1
        self._session.metrics.count("fleetpedia_agent_listed_objects_total", len(items))

    def _unreadable(self, error: Unreadable) -> None:
        log.error("object skipped", extra={"type": self._slimmer.type.name, "reason": str(error)})
        self._session.metrics.count("fleetpedia_rejected_objects_total", reason="unreadable")
