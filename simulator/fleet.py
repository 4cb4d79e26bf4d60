"""A fleet of simulated members: puts state, populations, faults, churn and the listener together."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson
from aiohttp import web

from . import certificates, overlay, watch
from .admin import Admin
from .churn import Churn
from .faults import Fault, Faults
from .lists import object_bytes
from .member import Member
from .population import VARIANTS, Population, Templates
from .state import State, write_kubeconfig
from .types import ServedType
from .web import Edge, MemberFace, make_request
from .writes import Body, Writer

TICKS = 100_000
"""Versions that a second is worth to a counter which goes on from the clock: more than a process can hand out."""
_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a fleet is made of; `objects` and `churn` (changes a second) are per member."""

    clusters: int = 1
    objects: int = 1000
    churn: float = 0.0
    seed: int = 1
    names: Sequence[str] = ()
    pod_bytes: int = 6000
    only: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    """0: the port that the state folder remembers, else a free one."""
    tls: bool = True
    window: int = 5000
    """Changes kept per type for watches."""
    bookmark_seconds: float = watch.BOOKMARK_SECONDS

    def member_names(self) -> list[str]:
        """Raises ValueError for names that are no DNS labels, repeat, or are too many."""
        names = list(self.names) + [f"sim-{i}" for i in range(len(self.names) + 1, self.clusters + 1)]
        for name in names:
            if not _NAME.match(name):
                raise ValueError(f"member name {name!r}: must be a DNS label (a-z, 0-9, -; at most 63 long)")
        if len(set(names)) != len(names):
            raise ValueError(f"member names repeat: {', '.join(names)}")
        if len(names) > self.clusters:
            raise ValueError(f"{len(names)} names for {self.clusters} clusters")
        return names

    def shape(self) -> dict[str, Any]:
        return {"seed": self.seed, "objects": self.objects, "pod_bytes": self.pod_bytes, "only": self.only}


class MemberHandle:
    """What a test does to one member from inside this process."""

    def __init__(self, member: Member, url: str) -> None:
        self.member = member
        self.name = member.name
        self.url = url
        self._writer = Writer(member)

    @property
    def token(self) -> str:
        return self.member.token

    @property
    def uid(self) -> str:
        return self.member.uid

    @property
    def rv(self) -> int:
        return self.member.rv

    def _type(self, group: str, resource: str) -> ServedType:
        for served in self.member.types():
            if (served.group, served.resource) == (group, resource):
                return served
        raise LookupError(f"{self.name} serves no {resource} in group {group!r}")

    def _type_of(self, obj: Body) -> ServedType:
        group, _, version = obj["apiVersion"].rpartition("/")
        for served in self.member.types():
            if (served.group, served.version, served.kind) == (group, version, obj["kind"]):
                return served
        raise LookupError(f"{self.name} serves no {obj['apiVersion']} {obj['kind']}")

    def _dict(self, served: ServedType, held: Any) -> Body:
        obj: Body = orjson.loads(object_bytes(self.member, served, held))
        return obj

    def create(self, obj: Body) -> Body:
        """Creates an object (apiVersion, kind, metadata.name); returns it as stored."""
        served = self._type_of(obj)
        return self._dict(served, self._writer.create(served, obj["metadata"].get("namespace", ""), obj))

    def update(self, obj: Body) -> Body:
        served = self._type_of(obj)
        meta = obj["metadata"]
        return self._dict(served, self._writer.update(served, meta.get("namespace", ""), meta["name"], obj))

    def delete(self, group: str, resource: str, name: str, namespace: str = "") -> None:
        self._writer.delete(self._type(group, resource), namespace, name)

    def get(self, group: str, resource: str, name: str, namespace: str = "") -> Body | None:
        served = self._type(group, resource)
        held = self.member.get(served.storage, namespace, name)
        return None if held is None else self._dict(served, held)

    def objects(self, group: str, resource: str) -> list[Body]:
        """The live set, whole objects with apiVersion and kind, in the order of lists."""
        served = self._type(group, resource)
        return [self._dict(served, held) for _, held in self.member.objects(served.storage).walk()]

    def cut_watches(self) -> None:
        self.member.cut_watches()

    def expire(self) -> None:
        self.member.expire()


class Fleet:
    """Async context manager: members that serve on one listener while it is open.

    `kubeconfig` is where it is written (its folder `<kubeconfig>.state` beside it keeps identities); without one
    both are in a temporary folder that goes away at the end."""

    def __init__(self, settings: Settings | None = None, kubeconfig: Path | None = None, **kwargs: Any) -> None:
        """`kwargs` are fields of Settings."""
        self.settings = settings or Settings(**kwargs)
        self.names = self.settings.member_names()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if kubeconfig is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="simulator-")
            kubeconfig = Path(self._temporary.name) / "kubeconfig"
        self.kubeconfig = kubeconfig
        self.members: dict[str, MemberHandle] = {}
        self.url = ""
        self.faults = Faults(self._act)
        self._runner: web.ServerRunner | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Fleet:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def __getitem__(self, name: str) -> MemberHandle:
        return self.members[name]

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        settings = self.settings
        self._state = state = State(self.kubeconfig.with_name(self.kubeconfig.name + ".state"))
        if state.shape != settings.shape():
            state.shape, state.counters = settings.shape(), {}
            state.born = int(time.time())
        members = self._make_members(state)
        self.churn = Churn(list(members.values()), settings.churn, settings.seed)
        self.faces: dict[str, MemberFace] = {}
        admin = Admin(self.faces, self.faults, self.churn)
        edge = Edge(self.faces, admin.handle)
        self._runner = web.ServerRunner(
            web.Server(edge.handle, request_factory=make_request, handler_cancellation=True), shutdown_timeout=0.2
        )
        await self._runner.setup()
        context = None
        if settings.tls:
            certificates.make(state.folder)
            context = certificates.server_context(state.folder)
        port = settings.port or state.port
        site = web.TCPSite(self._runner, settings.host, port, ssl_context=context, backlog=1024)
        await site.start()
        state.port = self._runner.addresses[0][1]
        self.url = f"{'https' if settings.tls else 'http'}://{settings.host}:{state.port}"
        for name, member in members.items():
            address = f"{settings.host}:{state.port}"
            self.faces[name] = MemberFace(member, self.faults, address, settings.bookmark_seconds)
            self.members[name] = MemberHandle(member, f"{self.url}/{name}")
        self._publish(state)
        self._tasks.append(asyncio.create_task(self.churn.run()))

    def _make_members(self, state: State) -> dict[str, Member]:
        settings = self.settings
        templates = Templates(settings.seed, settings.pod_bytes)
        populations: dict[int, Population] = {}
        members: dict[str, Member] = {}
        birth = state.born * TICKS
        for index, name in enumerate(self.names):
            variant = index % VARIANTS
            if variant not in populations:
                population = Population(templates, variant, settings.objects, state.born, settings.only)
                populations[variant] = population
            population = populations[variant]
            # A counter that was not saved goes on from the clock, which no rate of change outruns; what had changed
            # is forgotten then, as in a member restored from a backup, and old versions are 410.
            kept = state.counters.get(name)
            rv = kept or max(birth, int(time.time() * TICKS))
            base = birth - population.count - 1
            member = Member(name, population, settings.seed, state.token(name), rv, base, settings.window)
            if kept:
                overlay.load(member, self._overlay(name))
            members[name] = member
        return members

    def _overlay(self, name: str) -> Path:
        return self._state.folder / "changed" / f"{name}.json"

    def _publish(self, state: State) -> None:
        state.counters = {}
        state.save()
        ca = (state.folder / "ca.crt").read_bytes() if self.settings.tls else None
        tokens = {name: handle.token for name, handle in self.members.items()}
        write_kubeconfig(self.kubeconfig, self.url, tokens, ca)

    def plan(self, faults: list[Fault]) -> None:
        """Begins to carry out a faults file."""
        self._tasks.append(asyncio.create_task(self.faults.run(faults)))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for handle in self.members.values():
            handle.cut_watches()
        if self._runner is not None:
            await self._runner.cleanup()
            for name, handle in self.members.items():
                overlay.save(handle.member, self._overlay(name))
            self._state.counters = {name: handle.rv for name, handle in self.members.items()}
            self._state.save()
        if self._temporary is not None:
            self._temporary.cleanup()

    def _act(self, fault: Fault) -> None:
        for name, handle in self.members.items():
            if fault.member in ("", name):
                if fault.what == "expire":
                    handle.expire()
                else:
                    handle.cut_watches()
