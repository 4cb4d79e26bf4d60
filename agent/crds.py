"""CustomResourceDefinitions: what they add to their types, and that they come, change and go."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, NamedTuple

import msgspec

from agent.backoff import Backoff
from agent.errors import Forbidden, Gone, KubeError, NotFound
from agent.kube import JSON, Kube
from agent.slim import version_of
from schema.resource import PrinterColumn

log = logging.getLogger(__name__)
CRDS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
API_SERVICES: Final = "/apis/apiregistration.k8s.io/v1/apiservices"
METADATA: Final = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json"
CRDS_A_PAGE: Final = 20
"""Their schemas make them large."""
AGE: Final = PrinterColumn("Age", "date", ".metadata.creationTimestamp")
"""What the API server shows of a CRD that names no columns."""


class Custom(NamedTuple):
    columns: tuple[PrinterColumn, ...]
    fields: tuple[str, ...]


class _Column(msgspec.Struct):
    name: str
    type: str
    jsonPath: str  # noqa: N815 (Kubernetes' own spelling, here and below)
    format: str = ""
    description: str = ""
    priority: int = 0


class _Field(msgspec.Struct):
    jsonPath: str = ""  # noqa: N815


class _Version(msgspec.Struct):
    name: str
    additionalPrinterColumns: list[_Column] | None = None  # noqa: N815
    selectableFields: list[_Field] | None = None  # noqa: N815


class _Names(msgspec.Struct):
    plural: str


class Definition(msgspec.Struct):
    group: str
    names: _Names
    versions: list[_Version]


class _Crd(msgspec.Struct):
    spec: Definition


_decode = msgspec.json.Decoder(_Crd).decode


class Columns:
    """What the member's CRDs say of their types. `gone`: (group, resource) whose CRD was seen deleted."""

    def __init__(self) -> None:
        self._by_type: dict[tuple[str, str], dict[str, Custom]] = {}
        self.gone: set[tuple[str, str]] = set()

    def of(self, group: str, resource: str, version: str) -> Custom | None:
        return self._by_type.get((group, resource), {}).get(version)

    def replace(self, crds: list[Definition]) -> None:
        """A whole list: what is not in it is gone."""
        before = set(self._by_type)
        self._by_type = {}
        for crd in crds:
            self.put(crd)
        self.gone |= before - set(self._by_type)

    def put(self, spec: Definition) -> bool:
        """Whether what it says of its type is new."""
        key = (spec.group, spec.names.plural)
        custom = {version.name: _custom(version) for version in spec.versions}
        new = self._by_type.get(key) != custom or key in self.gone
        self._by_type[key] = custom
        self.gone.discard(key)
        return new

    def drop(self, spec: Definition) -> None:
        self._by_type.pop((spec.group, spec.names.plural), None)
        self.gone.add((spec.group, spec.names.plural))


def _custom(version: _Version) -> Custom:
    columns = version.additionalPrinterColumns
    if columns is None:
        return Custom((AGE,), _fields(version))
    return Custom(
        tuple(
            PrinterColumn(one.name, one.type, one.jsonPath, one.format, one.description, one.priority)
            for one in columns
        ),
        _fields(version),
    )


def _fields(version: _Version) -> tuple[str, ...]:
    return tuple(one.jsonPath for one in version.selectableFields or ())


class Definitions:
    """Follows CRDs and APIServices; `changed` is called whenever discovery is about to look different."""

    def __init__(self, kube: Kube, changed: Callable[[], None]) -> None:
        self.columns = Columns()
        self.known = asyncio.Event()
        """Set once the CRDs were listed, or it is certain that they cannot be."""
        self._kube, self._changed = kube, changed

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._for_ever(self._crds))
            group.create_task(self._for_ever(self._services))

    async def _for_ever(self, once: Callable[[Backoff], Awaitable[None]]) -> None:
        backoff = Backoff(0.5, 60.0)
        while True:
            try:
                await once(backoff)
            except Gone:
                pass
            except (Forbidden, NotFound) as error:
                log.warning("definitions are not followed", extra={"reason": error.message})
            except KubeError as error:
                log.info("definitions are out of sight", extra={"reason": error.message})
            await asyncio.sleep(backoff.next())

    async def _crds(self, backoff: Backoff) -> None:
        """List, then watch until it breaks."""
        version, crds = "", []
        try:
            async with aclosing(self._kube.pages(CRDS, limit=CRDS_A_PAGE)) as pages:
                async for page in pages:
                    version = version or page.version
                    crds += [definition for raw in page.items if (definition := readable(bytes(raw)))]
        except (Forbidden, NotFound):
            self.known.set()  # that there is nothing to know; of APIServices it would say nothing about the columns
            raise
        self.columns.replace(crds)
        self.known.set()
        self._changed()
        while True:
            async for kind, raw in self._events(CRDS, version, JSON, backoff):
                version = version_of(raw) or version
                definition = readable(raw) if kind != "BOOKMARK" else None
                if definition is None:
                    continue
                if kind == "DELETED":
                    self.columns.drop(definition)
                    self._changed()
                elif self.columns.put(definition):
                    self._changed()

    async def _services(self, backoff: Backoff) -> None:
        version, _ = await self._kube.list_version(API_SERVICES)
        self._changed()
        while True:
            async for kind, raw in self._events(API_SERVICES, version, METADATA, backoff):
                version = version_of(raw) or version
                if kind != "BOOKMARK":
                    self._changed()

    async def _events(self, path: str, version: str, accept: str, backoff: Backoff) -> AsyncIterator[tuple[str, bytes]]:
        started = time.monotonic()
        async with aclosing(self._kube.watch(path, version, accept=accept).events()) as stream:
            async for events in stream:
                for event in events:
                    backoff.reset()
                    yield event.kind, bytes(event.object)
        if time.monotonic() - started < 1:
            await asyncio.sleep(backoff.next())


def readable(raw: bytes) -> Definition | None:
    try:
        return _decode(raw).spec
    except msgspec.DecodeError as error:
        log.error("a CRD cannot be read", extra={"reason": str(error)})
        return None
