"""The types of a session: found by discovery, announced to the aggregator, each followed by a Reflector of its own.

A type ends when its absence is proven, never because something failed (traps 18)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from agent.crds import Columns, Definitions
from agent.discovery import TWINS, Discovery, Served
from agent.errors import KubeError, NotFound
from agent.reflect import Reflector
from agent.session import Session, SessionEnd, TypeKey, key_of
from agent.slim import Slimmer
from schema.errors import BadRequest, Fenced, FleetpediaError
from schema.resource import ResourceType
from schema.wire import Announce, Announced, AnnouncedType, GoneType, StoredType

log = logging.getLogger(__name__)
IDLE_SECONDS: Final = 30.0
BUSY_SECONDS: Final = 0.5
BUSY_FOR_SECONDS: Final = 10.0
"""After a CRD or APIService changed, discovery follows within moments: ask often for a while."""
ABSENT_SECONDS: Final = 60.0
DEFINITIONS_SECONDS: Final = 60.0
"""A thousand CRDs take their time; types announced without their columns have another shape, and all of theirs would be
sent anew, twice."""


@dataclass
class Running:
    type: ResourceType
    reflector: Reflector
    task: asyncio.Task[None]


@dataclass
class Plan:
    """What one look at the member asks for."""

    types: dict[TypeKey, ResourceType]
    gone: list[GoneType]


class Types:
    def __init__(self, session: Session, status_changed: Callable[[], None]) -> None:
        self.running: dict[TypeKey, Running] = {}
        self._session = session
        self._status_changed = status_changed
        self._look = asyncio.Event()
        self._discovery = Discovery(session.kube)
        self._definitions = Definitions(session.kube, self._look.set)
        self._absent: dict[TypeKey, float] = {}
        self._strays: set[TypeKey] = set()
        """Types that the store has and the member does not show."""
        self._slimmers: dict[TypeKey, tuple[ResourceType, Slimmer]] = {}
        self._announced: object = None

    @property
    def reflectors(self) -> list[Reflector]:
        return [running.reflector for running in self.running.values()]

    def named(self, names: list[str]) -> list[Reflector]:
        """Those of some names (`pods`, `deployments.apps`); all of them for none."""
        return [one for one in self.reflectors if not names or one.type.name in names]

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._definitions.run())
            await self._definitions_known()
            busy_until = 0.0
            while True:
                if self._look.is_set():
                    self._look.clear()
                    busy_until = time.monotonic() + BUSY_FOR_SECONDS
                await self._look_round(group)
                busy = time.monotonic() < busy_until
                await self._pause(BUSY_SECONDS if busy else IDLE_SECONDS, wakeable=not busy)

    async def _definitions_known(self) -> None:
        """Types are announced with their CRDs' columns from the start; a server that cannot tell holds nothing up."""
        try:
            async with asyncio.timeout(DEFINITIONS_SECONDS):
                await self._definitions.known.wait()
        except TimeoutError:
            log.warning("the member's CRDs cannot be listed yet, going on without")

    async def _pause(self, seconds: float, wakeable: bool) -> None:
        if not wakeable:
            await asyncio.sleep(seconds)
            return
        try:
            async with asyncio.timeout(seconds):
                await self._look.wait()
        except TimeoutError:
            pass

    async def _look_round(self, group: asyncio.TaskGroup) -> None:
        try:
            served = await self._discovery.ask(self._definitions.columns)
            plan = await self._plan(served)
            await self._apply(plan, served.complete, group)
        except Fenced:
            raise
        except (KubeError, FleetpediaError) as error:
            log.warning("types are not looked up", extra={"reason": str(error)})
            await asyncio.sleep(1)

    # -- plan -----------------------------------------------------------------------------------------------------
    async def _plan(self, served: Served) -> Plan:
        plan = Plan({}, [])
        columns, policy = self._definitions.columns, self._session.welcome.policy
        for (name, resource), type in served.types.items():
            if (name, resource) in columns.gone:
                continue  # discovery lags behind the deleted CRD
            why = policy.why_excluded(type)
            if why:
                plan.gone.append(GoneType(*key_of(type), "Excluded", why))
            else:
                plan.types[key_of(type)] = type
        settled = {*plan.types, *((one.group, one.version, one.resource) for one in plan.gone)}
        self._strays -= settled
        for key in settled & set(self._absent):
            del self._absent[key]
        for key in (set(self.running) | self._strays) - settled:
            verdict = await self._why_gone(key, served, columns)
            if verdict:
                plan.gone.append(GoneType(*key, "Gone", verdict))
            elif key in self.running:
                plan.types[key] = self.running[key].type
        return plan

    async def _why_gone(self, key: TypeKey, served: Served, columns: Columns) -> str:
        """The proof that a type is served no longer; empty where there is none (yet)."""
        group, version, resource = key
        if (group, resource) in columns.gone:
            return "its CustomResourceDefinition was deleted"
        instead = served.types.get((group, resource))
        if instead is not None:
            return f"the member serves it as {instead.api_version}"
        if TWINS.get((group, resource)) in served.types:
            return "it is the same as events of the core group"
        if group in served.troubled or not await self._answers_without(key):
            self._absent.pop(key, None)
            return ""
        since = self._absent.setdefault(key, time.monotonic())
        if time.monotonic() - since < ABSENT_SECONDS:
            return ""
        return f"the member has not served {group or 'core'}/{version} {resource} for {ABSENT_SECONDS:.0f} s"

    async def _answers_without(self, key: TypeKey) -> bool:
        """Whether the group version says itself that it lacks the type; an error says nothing."""
        group, version, resource = key
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            listed = msgspec.json.decode(await self._session.kube.get(path), type=_Listed)
        except NotFound:
            return True
        except (KubeError, msgspec.DecodeError):
            return False
        return all(one.name != resource for one in listed.resources or [])

    # -- apply ----------------------------------------------------------------------------------------------------
    async def _apply(self, plan: Plan, complete: bool, group: asyncio.TaskGroup) -> None:
        slimmers = {key: self._slimmer(key, type) for key, type in plan.types.items()}
        for key in set(self._slimmers) - set(slimmers):
            del self._slimmers[key]
        content = (
            {key: (type, slimmers[key].shape) for key, type in plan.types.items()},
            sorted(tuple(msgspec.to_builtins(one)) for one in plan.gone),
            complete,
        )
        if content == self._announced:
            return
        for key in set(self.running) - set(plan.types):
            await self._stop(key)
        listed = list(plan.types.items())
        announce = Announce(
            self._session.epoch,
            [AnnouncedType(type, slimmers[key].shape) for key, type in listed],
            plan.gone,
            complete,
        )
        announced = await self._session.hub.call("types", announce, Announced)
        if len(announced.types) != len(listed):
            raise SessionEnd(f"announced {len(listed)} types, {len(announced.types)} were answered", pause=5)
        self._announced = content
        self._strays = {(one[0], one[1], one[2]) for one in announced.unknown}
        for (key, type), stored in zip(listed, announced.types, strict=True):
            await self._keep_running(key, type, slimmers[key], stored, group)

    def _slimmer(self, key: TypeKey, type: ResourceType) -> Slimmer:
        held = self._slimmers.get(key)
        if held is None or held[0] != type:
            try:
                held = type, Slimmer(type, self._session.welcome.policy)
            except BadRequest as error:
                raise SessionEnd(f"the sync policy cannot be followed: {error.message}", pause=30) from error
            self._slimmers[key] = held
        return held[1]

    async def _keep_running(
        self, key: TypeKey, type: ResourceType, slimmer: Slimmer, stored: StoredType, group: asyncio.TaskGroup
    ) -> None:
        running = self.running.get(key)
        if running is not None:
            if running.reflector.id == stored.id and running.reflector.shape == slimmer.shape:
                self.running[key] = replace(running, type=type)
                return
            await self._stop(key)
            # What was in flight may have been committed since the answer: a store that was empty then is not any more.
            stored = msgspec.structs.replace(stored, objects=max(1, stored.objects))
        if stored.resource_version and self._session.distrust and self._session.lineage.counter is not None:
            # Should this process die before it has compared, the next one's Lease would vouch for a stale version.
            self._session.buffer.mark(stored.id, "", shape=stored.shape)
        reflector = Reflector(self._session, slimmer, stored, self._status_changed)
        task = group.create_task(reflector.run(), name=f"reflect {type.name}")
        self.running[key] = Running(type, reflector, task)

    async def _stop(self, key: TypeKey) -> None:
        running = self.running.pop(key)
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)
        await self._session.buffer.forget(running.reflector.id)
        await self._session.buffer.drained(running.reflector.id)


class _Name(msgspec.Struct):
    name: str = ""


class _Listed(msgspec.Struct):
    resources: list[_Name] | None = None
