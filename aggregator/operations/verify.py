"""Proof that the index equals its members: each agent lists anew and compares object by object, and what is stored is
compared with its own bytes. What differs is looked at again once before it counts."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aggregator.rbac.identity import Actor
from aggregator.storage import clusters, directives, operations, repair, scrub
from aggregator.storage.catalog import Catalog, ClusterEntry, ClusterTypeEntry
from aggregator.storage.pool import Database
from schema.errors import FleetpediaError, NotFound, TooManyRequests, Unavailable

log = logging.getLogger(__name__)
KIND: Final = "verify"
AT_ONCE: Final = 4
CLUSTERS_AT_ONCE: Final = 8
POLL_SECONDS: Final = 0.1
COMPARE_SECONDS: Final = 240.0
"""For the comparison of one cluster once it is in sync."""
_IGNORED: Final = ("Excluded", "Gone")
_HOPELESS: Final = ("Denied", "Failed")
_LISTS: Final = ("missing", "ghost", "different")

Entry = dict[str, Any]


class Wanted(NamedTuple):
    """What was asked for; empty is everything. `timeout`: seconds for getting in sync."""

    clusters: tuple[str, ...]
    types: tuple[str, ...]
    repair: bool
    timeout: float


class Verification:
    """Runs proofs in the background; `run` must be kept running."""

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self._catalog = catalog
        self._queue: asyncio.Queue[tuple[int, Wanted]] = asyncio.Queue(maxsize=AT_ONCE)
        self._running = 0

    async def begin(
        self, actor: Actor, names: Sequence[str], types: Sequence[str], *, repair: bool, timeout: float
    ) -> int:
        """Id of the operation. Raises NotFound for clusters and types that are not there, TooManyRequests."""
        await self._catalog.refresh()
        for name in names:
            if name not in self._catalog.clusters:
                raise NotFound(f"there is no cluster {name}; see: fleetpedia clusters list")
        known = {entry.definition.name for entry in self._catalog.types.values()}
        for type in types:
            if type not in known:
                raise NotFound(f"no cluster has a type {type}; write it as plural and group: pods, deployments.apps")
        if self._running + self._queue.qsize() >= AT_ONCE:
            raise TooManyRequests(f"{AT_ONCE} proofs run already; wait for one to end", retry_after=5.0)
        wanted = Wanted(tuple(names), tuple(types), repair, timeout)
        async with self._database.writers.transaction() as connection:
            id = await operations.begin(connection, KIND, actor.name, wanted._asdict())
        self._queue.put_nowait((id, wanted))
        return id

    async def run(self) -> None:
        """Carry proofs out, for ever. What ran in a process before us cannot end any more."""
        await self._forget_interrupted()
        async with asyncio.TaskGroup() as group:
            while True:
                id, wanted = await self._queue.get()
                self._running += 1
                group.create_task(self._carry_out(id, wanted))

    async def _forget_interrupted(self) -> None:
        while True:
            try:
                async with self._database.writers.acquire() as connection:
                    await operations.interrupted(connection, [KIND])
                return
            except Unavailable as error:  # a database that restarts just now must not end the process
                log.warning("proofs wait: %s", error)
                await asyncio.sleep(1.0)

    async def _carry_out(self, id: int, wanted: Wanted) -> None:
        try:
            result = await self._result(wanted)
            phase: operations.Phase = "Succeeded"
            message = ""
        except FleetpediaError as error:
            result, phase, message = None, "Failed", error.message
        except Exception:
            log.exception("operation %d (verify) failed", id)
            result, phase, message = None, "Failed", "something went wrong here; see the log of the aggregator"
        finally:
            self._running -= 1
        await self._record(id, phase, message, result)

    async def _record(self, id: int, phase: operations.Phase, message: str, result: dict[str, Any] | None) -> None:
        while True:
            try:
                async with self._database.writers.acquire() as connection:
                    await operations.finish(connection, id, phase, message, result)
                return
            except FleetpediaError as error:
                log.warning("the result of operation %d waits: %s", id, error)
                await asyncio.sleep(1.0)

    async def _result(self, wanted: Wanted) -> dict[str, Any]:
        gate = asyncio.Semaphore(CLUSTERS_AT_ONCE)
        names = wanted.clusters or tuple(self._catalog.clusters)
        entries = [self._catalog.clusters[name] for name in names if name in self._catalog.clusters]

        async def one(entry: ClusterEntry) -> list[Entry]:
            async with gate:
                return await _Proof(self._database, self._catalog, entry, wanted).run()

        found = [entry for part in await asyncio.gather(*(one(entry) for entry in entries)) for entry in part]
        unchecked = [
            {"name": entry["name"], "type": entry["type"], "reason": entry["reason"]}
            for entry in found
            if entry.get("reason")
        ]
        differs = any(entry[what] for entry in found for what in _LISTS)
        equal = False if differs else None if unchecked else True
        reason = f"{unchecked[0]['name']}: {unchecked[0]['reason']}" if unchecked else ""
        return {"equal": equal, "clusters": found, "unchecked": unchecked, "reason": reason}


class _Proof:
    """Of one cluster."""

    def __init__(self, database: Database, catalog: Catalog, entry: ClusterEntry, wanted: Wanted) -> None:
        self._database, self._catalog, self._wanted = database, catalog, wanted
        self._id, self._name = entry.id, entry.name
        self._deadline = asyncio.get_running_loop().time() + wanted.timeout

    async def run(self) -> list[Entry]:
        """One entry per type; one that could not be compared has a `reason`."""
        first = await self._settled()
        doubtful = [entry["type"] for entry in first if _differs(entry)]
        if not doubtful:
            return first
        if self._wanted.repair:
            await self._repair([entry for entry in first if _differs(entry)])
        second = {entry["type"]: entry for entry in await self._settled(tuple(doubtful))}
        return [second.get(entry["type"], entry) for entry in first]

    async def _settled(self, only: tuple[str, ...] = ()) -> list[Entry]:
        """A comparison that was of one session from begin to end, all of it in sync."""
        while True:
            waiting = await self._why_waiting(only)
            if not waiting:
                epoch = (await clusters.standing(self._database, self._id)).epoch
                entries, problem = await self._compared(only)
                if not problem and (await clusters.standing(self._database, self._id)).epoch == epoch:
                    return entries
                waiting = problem or "its agent began anew meanwhile"
            if asyncio.get_running_loop().time() >= self._deadline:
                return self._unchecked(only, waiting)
            await asyncio.sleep(POLL_SECONDS * 3)

    async def _why_waiting(self, only: tuple[str, ...]) -> str:
        """Empty where every type is in sync by the word of the agent's present session."""
        await self._catalog.refresh()
        entry = self._catalog.cluster_by_id.get(self._id)
        if entry is None or entry.removing:
            raise NotFound(f"cluster {self._name} is being removed")
        if entry.paused:
            return "it is paused; resume it first"
        if self._catalog.is_stale(entry, _now()):
            return entry.message or "its API server has not answered for a while"
        if not (await clusters.standing(self._database, self._id)).heard:
            return "its agent has just begun and has not said how far it is"
        types = self._types(only)
        if not types:
            return "" if self._wanted.types else "its types are not known yet"
        late = [type for type in types if type.state not in ("Synced", *_HOPELESS)]
        return f"{late[0].definition.name} is {late[0].state} {late[0].reason}".strip() if late else ""

    async def _compared(self, only: tuple[str, ...]) -> tuple[list[Entry], str]:
        """(entries, why it must be done again)"""
        types = self._types(only)
        good = [type.definition.name for type in types if type.state == "Synced"]
        entries = [self._entry(type, type.reason or type.state) for type in types if type.state in _HOPELESS]
        if not good:
            return entries, ""
        result, problem = await self._ask("verify", good)
        if problem:
            return [], problem
        reports = {report["type"]: report for report in result.get("types", [])}
        for name in good:
            report = reports.get(name)
            if report is None:
                return [], f"the agent did not answer for {name}"
            entry = {"name": self._name, "type": name, "member": report["member"], "store": report["store"]}
            entry |= {what: report[what] for what in _LISTS}
            if report.get("error"):
                entry["reason"] = report["error"]
            entries.append(entry)
        await self._scrub({str(entry["type"]): entry for entry in entries})
        return sorted(entries, key=lambda entry: str(entry["type"])), ""

    async def _scrub(self, entries: dict[str, Entry]) -> None:
        """What is stored beside the bytes must follow from them."""
        for subject in await scrub.subjects(self._database.readers, self._id):
            entry = entries.get(subject.definition.name)
            if entry is None:
                continue
            async for found in scrub.differences(self._database, subject):
                names = [f"{one.namespace}/{one.name}" if one.namespace else one.name for one in found]
                known = {*entry["different"], *entry["ghost"]}
                entry["different"] += [name for name in names if name not in known]
                await asyncio.sleep(0)

    async def _ask(self, kind: str, types: list[str]) -> tuple[dict[str, Any], str]:
        """(result, what went wrong): a directive to the agent, until it is answered."""
        async with self._database.writers.transaction() as connection:
            id = await directives.add(connection, self._id, kind, {"types": types})
        loop = asyncio.get_running_loop()
        until = max(loop.time(), self._deadline) + COMPARE_SECONDS
        epoch = (await clusters.standing(self._database, self._id)).epoch
        try:
            while loop.time() < until:
                state = await directives.get(self._database, id)
                if state is None:
                    return {}, "the cluster is gone"
                if state.finished is not None:
                    return state.result or {}, state.error
                if loop.time() >= self._deadline and await self._lost(epoch):
                    return {}, "its agent is away"
                await asyncio.sleep(POLL_SECONDS)
        finally:
            async with self._database.writers.acquire() as connection:
                await directives.withdraw(connection, id)
        return {}, f"the agent did not answer within {COMPARE_SECONDS:g} s"

    async def _lost(self, epoch: int) -> bool:
        entry = self._catalog.cluster_by_id.get(self._id)
        if entry is None or self._catalog.is_stale(entry, _now()):
            return True
        return (await clusters.standing(self._database, self._id)).epoch != epoch

    async def _repair(self, entries: list[Entry]) -> None:
        ids = {type.definition.name: type.type_id for type in self._types(())}
        async with self._database.writers.transaction() as connection:
            for entry in entries:
                keys = [_key(text) for what in ("ghost", "different") for text in entry[what]]
                await repair.distrust(connection, self._id, ids[entry["type"]], keys)
        await self._ask("relist", [entry["type"] for entry in entries])

    def _types(self, only: tuple[str, ...]) -> list[ClusterTypeEntry]:
        wanted = only or self._wanted.types
        own = (type.clusters.get(self._id) for type in self._catalog.types.values())
        return [
            type
            for type in own
            if type is not None and type.state not in _IGNORED and (not wanted or type.definition.name in wanted)
        ]

    def _unchecked(self, only: tuple[str, ...], reason: str) -> list[Entry]:
        types = self._types(only)
        if not types:
            return [_entry(self._name, "", 0, reason)]
        return [self._entry(type, reason) for type in types]

    def _entry(self, type: ClusterTypeEntry, reason: str) -> Entry:
        return _entry(self._name, type.definition.name, type.objects, reason)


def _entry(name: str, type: str, store: int, reason: str) -> Entry:
    lists: dict[str, list[str]] = {what: [] for what in _LISTS}
    return {"name": name, "type": type, "member": None, "store": store, **lists, "reason": reason}


def _differs(entry: Entry) -> bool:
    return any(entry[what] for what in _LISTS)


def _key(text: str) -> tuple[str, str]:
    namespace, slash, name = text.rpartition("/")
    return (namespace, name) if slash else ("", name)


def _now() -> datetime:
    return datetime.now(UTC)
