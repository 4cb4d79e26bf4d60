"""The wire: one POST per message of schema.wire, under /agent/v1/. The cluster is the credential's, never a field."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeVar

import msgspec
from aiohttp import web

from aggregator.ingest.service import Agent, Ingest
from aggregator.storage import credentials
from aggregator.storage.pool import Database
from schema.errors import BadRequest, FleetpediaError, TooLarge, TooManyRequests, Unauthorized, UnsupportedMediaType
from schema.wire import (
    CONTENT_TYPE,
    MAX_BATCH_BYTES,
    Announce,
    DigestRequest,
    DirectivesRequest,
    FingerprintsRequest,
    Heartbeat,
    Hello,
    pack,
    unpack,
)

log = logging.getLogger(__name__)
READ_SECONDS: Final = 60.0
HELD_BYTES: Final = 256 * 1024 * 1024
"""Of request bodies in memory at once, over all agents."""
CACHED_SECONDS: Final = 2.0
"""How long a credential that was revoked may still be taken for valid."""

M = TypeVar("M", bound=msgspec.Struct)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Serve = Callable[[Agent, bytes], Awaitable[msgspec.Struct]]


class HasIngest(Protocol):
    @property
    def ingest(self) -> Ingest: ...


def routes(services: HasIngest) -> list[web.RouteDef]:
    """The routes of the wire. They authenticate and render their errors themselves."""
    ingest = services.ingest
    edge = Edge(ingest.database)

    def message(kind: type[M], serve: Callable[[Agent, M], Awaitable[msgspec.Struct]]) -> Handler:
        async def unpacked(agent: Agent, data: bytes) -> msgspec.Struct:
            return await serve(agent, unpack(data, kind))

        return edge.handler(unpacked)

    return [
        web.post("/agent/v1/session", message(Hello, ingest.sessions.hello)),
        web.post("/agent/v1/types", message(Announce, ingest.sessions.announce)),
        web.post("/agent/v1/push", edge.handler(ingest.apply.push)),
        web.post("/agent/v1/digest", message(DigestRequest, ingest.reconcile.digest)),
        web.post("/agent/v1/fingerprints", message(FingerprintsRequest, ingest.reconcile.fingerprints)),
        web.post("/agent/v1/heartbeat", message(Heartbeat, ingest.sessions.heartbeat)),
        web.post("/agent/v1/directives", message(DirectivesRequest, ingest.directives.exchange)),
    ]


class Edge:
    """Reading, authentication and rendering of one wire request."""

    def __init__(self, database: Database):
        self._database = database
        self._known: dict[bytes, tuple[float, Agent]] = {}
        self._held = 0

    def handler(self, serve: Serve) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                agent = await self._authenticate(request)
                return _answer(await self._served(request, agent, serve))
            except FleetpediaError as error:
                return _failure(error)

        return handle

    async def _served(self, request: web.Request, agent: Agent, serve: Serve) -> msgspec.Struct:
        if request.content_type != CONTENT_TYPE:
            raise UnsupportedMediaType(f"a message has the type {CONTENT_TYPE}, not {request.content_type}")
        if "Content-Encoding" in request.headers:
            raise UnsupportedMediaType("a message is zstd by its type and takes no Content-Encoding beside it")
        size = request.content_length
        if size is None:
            raise BadRequest("a message states its Content-Length")
        if size > MAX_BATCH_BYTES:
            raise TooLarge(f"a message has at most {MAX_BATCH_BYTES} bytes, not {size}; send smaller batches")
        if self._held + size > HELD_BYTES:
            raise TooManyRequests("the aggregator holds as many messages as it may", retry_after=1.0)
        self._held += size
        try:
            return await serve(agent, await _read(request))
        finally:
            self._held -= size

    async def _authenticate(self, request: web.Request) -> Agent:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthorized("an agent shows its credential as `Authorization: Bearer …`")
        key = credentials.hashed(token.strip())
        now = time.monotonic()
        cached = self._known.get(key)
        if cached and now - cached[0] < CACHED_SECONDS:
            return cached[1]
        self._known.pop(key, None)
        holder = await credentials.holder(self._database, key)
        if holder is None:
            raise Unauthorized("the credential is unknown or revoked; get a new one with `fleetpedia clusters rotate`")
        agent = Agent(holder.cluster_id, holder.cluster)
        if len(self._known) >= 10_000:  # only valid credentials come in here, so this is many clusters, not an attack
            self._known.clear()
        self._known[key] = (now, agent)
        return agent


async def _read(request: web.Request) -> bytes:
    """The whole body; aiohttp reads no more than the Content-Length that was checked."""
    try:
        async with asyncio.timeout(READ_SECONDS):
            return await request.content.read()
    except TimeoutError as error:
        raise BadRequest(f"the message did not arrive within {READ_SECONDS:g} seconds") from error


def _answer(message: msgspec.Struct) -> web.Response:
    return web.Response(body=pack(message), content_type=CONTENT_TYPE)


def _failure(error: FleetpediaError) -> web.Response:
    body: dict[str, Any] = {"reason": error.reason, "message": error.message, "details": error.details}
    headers = {"Retry-After": str(max(1, round(error.retry_after)))} if error.retry_after is not None else {}
    if error.retry_after is not None:
        body["details"] = {**error.details, "retryAfterSeconds": error.retry_after}
    return web.Response(status=error.status, text=json.dumps(body), content_type="application/json", headers=headers)
