"""Proof on demand: agents list anew and compare with the store; here the store is compared with itself. Then both say so.

An operation of its own task: begun by one request, asked after by others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from aggregator.rbac.identity import Actor
from aggregator.status.clusters import phase_of
from aggregator.storage import directives, operations
from aggregator.storage.catalog import Catalog, ClusterEntry, ClusterTypeEntry
from aggregator.storage.pool import Database
from aggregator.storage.scrub import Scrub
from schema.errors import BadRequest, FleetpediaError, NotFound, TooManyRequests

log = logging.getLogger(__name__)
POLL_SECONDS: Final = 0.2
COMPARE_SECONDS: Final = 600.0
"""For the comparison itself, once everything is in sync."""
AT_ONCE: Final = 4
Report = dict[str, Any]


class Verify:
    def __init__(self, database: Database, catalog: Catalog, scrub: Scrub) -> None:
        self._database = database
        self._catalog = catalog
        self._scrub_rows = scrub
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """What ran in a process before us cannot be ended any more."""
        async with self._database.writers.acquire() as connection:
            await operations.interrupted(connection, ["verify"])

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def begin(
        self, actor: Actor, clusters: Sequence[str], types: Sequence[str], *, repair: bool, timeout: float
    ) -> int:
        """Begin; the operation's id. Raises NotFound, BadRequest for names that are not there, TooManyRequests."""
        actor.require_admin("verify")
        if len(self._tasks) >= AT_ONCE:
            raise TooManyRequests(f"{AT_ONCE} verifications run already; wait for one to end", retry_after=5.0)
        await self._catalog.refresh()
        chosen = self._chosen(clusters)
        self._check_types(types)
        args = {"clusters": list(clusters), "types": list(types), "repair": repair, "timeout": timeout}
        async with self._database.writers.acquire() as connection:
            id = await operations.begin(connection, "verify", actor.name, args)
        task = asyncio.create_task(self._run(id, chosen, list(types), repair=repair, timeout=timeout))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return id

    def _chosen(self, names: Sequence[str]) -> list[str]:
        for name in names:
            if name not in self._catalog.clusters:
                raise NotFound(f"there is no cluster {name}; see: fleetpedia clusters list")
        return list(names) or list(self._catalog.clusters)

    def _check_types(self, names: Sequence[str]) -> None:
        known = {entry.definition.name for entry in self._catalog.types.values()}
        for name in names:
            if name not in known:
                raise BadRequest(
                    f"no cluster serves the type {name!r}; name it as PLURAL or PLURAL.GROUP: pods, deployments.apps"
                )

    async def _run(self, id: int, clusters: list[str], types: list[str], *, repair: bool, timeout: float) -> None:
        try:
            reports = await asyncio.gather(*(self._cluster(name, types, timeout) for name in clusters))
            if repair and any(_differs(entry) for report in reports for entry in report):
                await asyncio.gather(*(self._repair(report) for report in reports))
                reports = await asyncio.gather(*(self._cluster(name, types, timeout) for name in clusters))
            result = _result([entry for report in reports for entry in report])
            phase: operations.Phase = "Succeeded"
            message = str(result.get("reason", ""))
        except FleetpediaError as error:
            phase, message = "Failed", error.message
            result = {"equal": None, "clusters": [], "reason": error.message}
        except Exception:
            log.exception("verification %d failed", id)
            phase, message = "Failed", "something went wrong here; see the aggregator's log"
            result = {"equal": None, "clusters": [], "reason": message}
        async with self._database.writers.acquire() as connection:
            await operations.finish(connection, id, phase, message, result)

    async def _cluster(self, name: str, types: list[str], timeout: float) -> list[Report]:
        """One report per type; one without a type that says why the cluster was not checked."""
        reason = await self._in_sync(name, types, timeout)
        entry = self._catalog.clusters.get(name)
        if reason or entry is None:
            return [_unchecked(name, "", reason or "it was removed meanwhile")]
        async with self._database.writers.acquire() as connection:
            wanted = await directives.add(connection, entry.id, "verify", {"types": types})
        answer = await self._answer(wanted)
        if isinstance(answer, str):
            return [_unchecked(name, "", answer)]
        reports = []
        for compared in answer:
            report = {"name": name, **compared}
            if report.pop("error", ""):
                report = _unchecked(name, compared["type"], compared["error"])
            else:
                await self._scrub(entry, report)
            reports.append(report)
        return reports

    async def _scrub(self, entry: ClusterEntry, report: Report) -> None:
        """Rows that do not follow from their own body differ, whatever their fingerprint says."""
        member = next((own for own in self._types(entry) if own.definition.name == report["type"]), None)
        if member is None:
            return
        wrong = await self._scrub_rows.differing(entry.id, member.type_id)
        report["different"] = sorted({*report["different"], *wrong})

    async def _in_sync(self, name: str, types: list[str], timeout: float) -> str:
        """Wait until every type (of `types`) is in sync; why not, where it is not in time."""
        deadline = asyncio.get_running_loop().time() + timeout
        while True:
            reason = self._why_not(name, types)
            if not reason or asyncio.get_running_loop().time() > deadline:
                return reason
            await asyncio.sleep(POLL_SECONDS)
            await self._catalog.refresh()

    def _why_not(self, name: str, types: list[str]) -> str:
        entry = self._catalog.clusters.get(name)
        if entry is None:
            return "it was removed meanwhile"
        own = [type for type in self._types(entry) if not types or type.definition.name in types]
        phase = phase_of(self._catalog, entry, own, datetime.now(UTC), 0)
        if phase in ("Ready", "Degraded"):
            return ""
        waiting = [type.definition.name for type in own if type.state in ("Pending", "Listing")]
        return entry.message or f"its phase is {phase}" + (f" ({', '.join(waiting[:5])})" if waiting else "")

    def _types(self, entry: ClusterEntry) -> list[ClusterTypeEntry]:
        own = (type.clusters.get(entry.id) for type in self._catalog.types.values())
        return [type for type in own if type is not None]

    async def _answer(self, directive: int) -> list[Report] | str:
        """What the agent found, or why it found nothing."""
        deadline = asyncio.get_running_loop().time() + COMPARE_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            state = await directives.get(self._database, directive)
            if state is None:
                return "the cluster was removed meanwhile"
            if state.finished is not None:
                return state.error or list((state.result or {}).get("types") or [])
            await asyncio.sleep(POLL_SECONDS)
        return f"the agent did not answer within {COMPARE_SECONDS:g} s"

    async def _repair(self, report: list[Report]) -> None:
        """Make the wrong rows differ by fingerprint, and have their types compared: what is missing comes, the rest goes."""
        for entry in report:
            cluster = self._catalog.clusters.get(entry["name"])
            if cluster is None or not _differs(entry):
                continue
            member = next((own for own in self._types(cluster) if own.definition.name == entry["type"]), None)
            if member is None:
                continue
            await self._scrub_rows.distrust(cluster.id, member.type_id, entry["different"])
            async with self._database.writers.acquire() as connection:
                wanted = await directives.add(connection, cluster.id, "relist", {"types": [entry["type"]]})
            await self._answer(wanted)


def _differs(entry: Report) -> bool:
    return bool(entry.get("missing") or entry.get("ghost") or entry.get("different"))


def _unchecked(name: str, type: str, reason: str) -> Report:
    nothing: Report = {"member": 0, "store": 0, "missing": [], "ghost": [], "different": []}
    return {"name": name, "type": type, **nothing, "reason": reason}


def _result(entries: list[Report]) -> Report:
    """`equal`: true, false, or null where something could not be checked and the rest is equal."""
    unchecked = [entry for entry in entries if entry.get("reason")]
    differing = any(_differs(entry) for entry in entries)
    result: Report = {"equal": False if differing else None if unchecked else True, "clusters": entries}
    if unchecked:
        result["unchecked"] = [f"{entry['name']} {entry['type']}".strip() for entry in unchecked]
        result["reason"] = "; ".join(f"{entry['name']} {entry['type']}: {entry['reason']}" for entry in unchecked[:3])
    return result
