"""Watches: events as lines of JSON, until the time is up or something ends them.

There is no queue per watcher: each has a place in the change log and reads on as fast as its client takes the events.
Who falls behind what is kept gets an ERROR with 410 and lists again; who takes no bytes at all is cut."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from aiohttp import web

from aggregator.rbac.scope import Scope
from aggregator.search.parse_kube import ListOptions
from aggregator.search.query import Query
from aggregator.search.run import Engine
from aggregator.search.watch import Watcher
from aggregator.storage.changes import Change, Subscription
from aggregator.web.kube.accept import resource_form
from aggregator.web.kube.face import Face, FaceType
from aggregator.web.kube.lists import ClientGoneError, question, send, send_each
from aggregator.web.kube.paths import Target
from aggregator.web.kube.render import Renderer, renderer
from aggregator.web.kube.status import status_of
from aggregator.web.kube.warnings import headers, warnings
from schema.errors import Expired, FleetpediaError, NotFound, Unavailable

log = logging.getLogger(__name__)
DEFAULT_SECONDS: Final = 3600.0
BOOKMARK_SECONDS: Final = 60.0
LOOK_SECONDS: Final = 1.5
"""How often a watch with nothing to send looks whether its client, its type and its scope are still the same."""
EVENTS_AT_ONCE: Final = 200
"""Their objects are in memory together, compressed."""
INITIAL_END: Final = {"k8s.io/initial-events-end": "true"}

Recheck = Callable[[], Awaitable[Scope]]


async def watch_objects(
    request: web.Request,
    engine: Engine,
    face: Face,
    type: FaceType,
    target: Target,
    options: ListOptions,
    current_scope: Recheck,
) -> web.StreamResponse:
    """`current_scope` tells what the caller may see now; a watch ends when that is no longer what it began with."""
    rendering = renderer(resource_form(request.headers.get("Accept", "")), face.catalog, type, options.include_object)
    query = question(face, type, target, options.where)
    watcher = Watcher(engine.database, face.catalog, query, face.scope, rendering.want)
    version = int(options.version or 0)
    if version:
        await engine.reach(version)
        if options.initial_events is not True and version < engine.feed.floor:
            raise Expired(f"too old resource version: {version} ({engine.feed.floor}); list again")
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.headers.extend(headers(warnings(face, type, datetime.now(UTC))))
    watch = _Watch(request, response, engine, face, type, query, options, rendering, watcher, current_scope)
    try:
        await watch.run(version)
    except ClientGoneError:
        log.info("a watch of %s ended: its client is gone", type.definition.name)
    return response


@dataclass
class _Watch:
    request: web.Request
    response: web.StreamResponse
    engine: Engine
    face: Face
    type: FaceType
    query: Query
    options: ListOptions
    rendering: Renderer
    watcher: Watcher
    current_scope: Recheck
    look_at: float = 0.0

    async def run(self, version: int) -> None:
        """Errors before the first byte are answers; later ones are events."""
        try:
            await self._run(version)
        except FleetpediaError as error:
            if not self.response.prepared:
                raise
            await self._send(_line("ERROR", orjson.dumps(status_of(error))))

    async def _run(self, version: int) -> None:
        deadline = _clock() + (self.options.timeout or DEFAULT_SECONDS)
        wants_initial = self.options.initial_events
        if wants_initial is None:
            wants_initial = version == 0
        if wants_initial:
            cursor = await self._initial()
        else:
            cursor = version or await self.engine.feed.watermark()
            await self.response.prepare(self.request)
        with self.engine.feed.subscribe(cursor, frozenset({self.type.entry.id})) as subscription:
            await self._follow(subscription, deadline)

    async def _initial(self) -> int:
        """Everything there is as ADDED, then (WatchList) the bookmark that says so; returns where to go on from."""
        async with self.engine.stream(self.query, self.face.scope, self.rendering.want) as stream:
            await self.response.prepare(self.request)
            while rows := await stream.next():
                # Rows may be newer than the cursor that the changes go on from; versions must not go backwards.
                capped = [row._replace(cursor=min(row.cursor, stream.cursor)) for row in rows]
                await send_each(self.response, (_line("ADDED", self.rendering.event_object(row)) for row in capped))
        if self.options.initial_events and self.options.bookmarks:
            await self._bookmark(stream.cursor, INITIAL_END)
        return stream.cursor

    async def _follow(self, subscription: Subscription, deadline: float) -> None:
        bookmark_at = _clock() + BOOKMARK_SECONDS
        pending: list[Change] = []
        while True:
            now = _clock()
            if now >= deadline or not await self._goes_on():
                break
            try:
                if not pending:
                    pending = list((await subscription.next(max(0.0, min(deadline, self.look_at) - now))).changes)
                if pending:
                    await self._send_events(pending[:EVENTS_AT_ONCE])
                    del pending[:EVENTS_AT_ONCE]
            except Unavailable as error:
                log.warning("a watch waits: %s", error)
                await asyncio.sleep(1.0)
                continue
            if self.options.bookmarks and not pending and _clock() >= bookmark_at:
                await self._bookmark(subscription.cursor)
                bookmark_at = _clock() + BOOKMARK_SECONDS
        if self.options.bookmarks and not pending and self._connected():
            await self._bookmark(subscription.cursor)

    async def _send_events(self, changes: list[Change]) -> None:
        events = await self.watcher.events(changes)
        await send_each(self.response, (_line(event.type, self.rendering.event_object(event.row)) for event in events))

    async def _bookmark(self, cursor: int, annotations: dict[str, str] | None = None) -> None:
        metadata: dict[str, Any] = {"resourceVersion": str(cursor), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        await self._send(_line("BOOKMARK", self.rendering.bookmark(metadata)))

    async def _send(self, data: bytes) -> None:
        await send(self.response, data)

    async def _goes_on(self) -> bool:
        """A watch ends when its client, its scope or its type is no longer what it was; the client then comes anew."""
        if _clock() < self.look_at:
            return True
        self.look_at = _clock() + LOOK_SECONDS
        return self._connected() and self._same_type() and await self._same_scope()

    def _connected(self) -> bool:
        return self.request.transport is not None and not self.request.transport.is_closing()

    def _same_type(self) -> bool:
        try:
            now = self.face.type(self.type.entry.key)
        except NotFound:
            return False
        return now.definition == self.type.definition and now.conflicting == self.type.conflicting

    async def _same_scope(self) -> bool:
        try:
            return await self.current_scope() == self.face.scope
        except Unavailable:
            return True
        except FleetpediaError:
            return False


def _line(type: str, data: bytes) -> bytes:
    return b'{"type":"' + type.encode() + b'","object":' + data + b"}\n"


def _clock() -> float:
    return asyncio.get_running_loop().time()
