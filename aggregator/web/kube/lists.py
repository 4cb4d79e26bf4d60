"""Lists and single objects."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from aggregator.search.parse_kube import ListOptions
from aggregator.search.query import Expression, Glob, Match, Query, every
from aggregator.search.run import Engine, Stream
from aggregator.storage.objects import CHUNK_ROWS, Row
from aggregator.web.kube.accept import resource_form
from aggregator.web.kube.face import Face, FaceType
from aggregator.web.kube.paths import Target
from aggregator.web.kube.render import Renderer, renderer
from aggregator.web.kube.warnings import headers, warnings
from schema.errors import Ambiguous, FleetpediaError, NotFound

log = logging.getLogger(__name__)
SEND_BYTES: Final = 1024 * 1024
STALL_SECONDS: Final = 60.0
"""A client that takes no bytes for so long is cut, since it holds a connection and a snapshot."""
_MOST_MATCHES: Final = 1000
"""One name in more clusters than that is answered as ambiguous all the same."""


class ClientGoneError(Exception):
    """The client closed its connection or stopped reading. (No OSError, so that nobody takes it for the database's.)"""


async def send(response: web.StreamResponse, data: bytes) -> None:
    """Raises ClientGoneError where the client does not take it."""
    try:
        async with asyncio.timeout(STALL_SECONDS):
            await response.write(data)
    except (OSError, TimeoutError) as error:
        raise ClientGoneError from error


async def send_each(response: web.StreamResponse, parts: Iterable[bytes]) -> None:
    """In writes of about SEND_BYTES; parts are made as they are sent, so that large ones are not held together."""
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= SEND_BYTES:
            await send(response, bytes(held))
            held.clear()
    if held:
        await send(response, bytes(held))


def question(face: Face, type: FaceType, target: Target, where: Expression) -> Query:
    """The query of a path and selectors. A namespace of a cluster-scoped type, and none of one object of a namespaced
    type, are refused as not found."""
    if target.namespace and not type.definition.namespaced:
        raise NotFound(f"{type.definition.name} has no namespaces; leave out /namespaces/{target.namespace}")
    if target.name and type.definition.namespaced and not target.namespace:
        name = type.definition.name
        raise NotFound(f"{name} are in namespaces: write /namespaces/NAMESPACE/{target.resource}/{target.name}")
    conditions: list[Expression] = [*face.where(type)]
    if target.namespace:
        conditions.append(Match("namespace", (Glob.literal(target.namespace),)))
    if target.name:
        conditions.append(Match("name", (Glob.literal(target.name),)))
    return Query(every(*conditions, where), type.entry.key)


async def list_objects(
    request: web.Request, engine: Engine, face: Face, type: FaceType, target: Target, options: ListOptions
) -> web.StreamResponse:
    rendering = renderer(resource_form(request.headers.get("Accept", "")), face.catalog, type, options.include_object)
    query = question(face, type, target, options.where)
    await _at_version(engine, options)
    if options.limit or options.token:
        response: web.StreamResponse = await _page(engine, face, type, query, options, rendering)
    else:
        response = await _everything(request, engine, face, type, query, rendering)
    return pretty(response) if options.pretty else response


def pretty(response: web.StreamResponse) -> web.StreamResponse:
    """Indented, for people; what is sent in chunks stays as it is."""
    if isinstance(response, web.Response) and isinstance(response.body, bytes):
        response.body = msgspec.json.format(response.body, indent=2)
    return response


async def _at_version(engine: Engine, options: ListOptions) -> None:
    if options.version_match == "Exact":
        await engine.exactly(int(options.version))
    elif options.version not in ("", "0"):
        await engine.reach(int(options.version))


async def _page(
    engine: Engine, face: Face, type: FaceType, query: Query, options: ListOptions, rendering: Renderer
) -> web.Response:
    page = await engine.page(replace(query, limit=options.limit), face.scope, rendering.want, options.token)
    metadata: dict[str, Any] = {"resourceVersion": str(page.cursor)}
    if page.next:
        metadata["continue"] = page.next
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    empty = not page.rows and not options.token
    return await _whole(engine, face, type, query, rendering, metadata, page.rows, empty=empty)


async def _everything(
    request: web.Request, engine: Engine, face: Face, type: FaceType, query: Query, rendering: Renderer
) -> web.StreamResponse:
    async with engine.stream(query, face.scope, rendering.want) as stream:
        metadata = {"resourceVersion": str(stream.cursor)}
        first = await stream.next()
        if len(first) == CHUNK_ROWS:
            return await _streamed(request, face, type, rendering, metadata, first, stream)
    return await _whole(engine, face, type, query, rendering, metadata, first, empty=not first)


async def _whole(
    engine: Engine,
    face: Face,
    type: FaceType,
    query: Query,
    rendering: Renderer,
    metadata: dict[str, Any],
    rows: list[Row],
    *,
    empty: bool,
) -> web.Response:
    texts = warnings(face, type, datetime.now(UTC))
    for path in await engine.missing_paths(query, face.scope, empty=empty):
        texts.append(f"no {type.definition.name} looked at has a field {path}")
    data = rendering.head(metadata) + b",".join([rendering.item(row) for row in rows]) + rendering.tail
    response = web.Response(body=data, content_type="application/json")
    response.headers.extend(headers(texts))
    return response


async def _streamed(
    request: web.Request,
    face: Face,
    type: FaceType,
    rendering: Renderer,
    metadata: dict[str, Any],
    rows: list[Row],
    stream: Stream,
) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_type = "application/json"
    response.headers.extend(headers(warnings(face, type, datetime.now(UTC))))
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    try:
        await send(response, rendering.head(metadata))
        comma = b""
        while rows:
            await send_each(response, _items(rendering, rows, comma))
            comma = b","
            rows = await stream.next()
        await send(response, rendering.tail)
    except (ClientGoneError, FleetpediaError) as error:
        # The status line is out: the only honest end is a broken one, which no client takes for the whole answer.
        log.warning("a list of %s ended early: %r", type.definition.name, error)
        _abort(request)
    except asyncio.CancelledError:
        _abort(request)
        raise
    return response


def _items(rendering: Renderer, rows: list[Row], comma: bytes) -> Iterator[bytes]:
    """`comma`: what goes before the first."""
    for row in rows:
        yield comma + rendering.item(row)
        comma = b","


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def get_object(
    request: web.Request, engine: Engine, face: Face, type: FaceType, target: Target, options: ListOptions
) -> web.StreamResponse:
    """One object; on the fleet a Table has all of that name, JSON only where it is one (traps 7)."""
    form = resource_form(request.headers.get("Accept", ""))
    rendering = renderer(form, face.catalog, type, options.include_object)
    await _at_version(engine, options)
    query = replace(question(face, type, target, every()), limit=_MOST_MATCHES)
    page = await engine.page(query, face.scope, rendering.want)
    if not page.rows:
        raise _not_found(face, type, target)
    if form == "table":
        metadata = {"resourceVersion": str(page.cursor)}
        table = await _whole(engine, face, type, query, rendering, metadata, page.rows, empty=False)
        return pretty(table) if options.pretty else table
    if len(page.rows) > 1:
        raise _ambiguous(face, type, target, page.rows)
    response = web.Response(body=rendering.item(page.rows[0]), content_type="application/json")
    response.headers.extend(headers(warnings(face, type, datetime.now(UTC))))
    return pretty(response) if options.pretty else response


def _not_found(face: Face, type: FaceType, target: Target) -> NotFound:
    definition = type.definition
    details = {"name": target.name, "group": definition.group, "kind": definition.resource}
    return NotFound(f'{definition.name} "{target.name}" not found', details=details)


def _ambiguous(face: Face, type: FaceType, target: Target, rows: list[Row]) -> Ambiguous:
    names = [
        face.catalog.cluster_by_id[row.cluster_id].name for row in rows if row.cluster_id in face.catalog.cluster_by_id
    ]
    definition = type.definition
    namespace = f" -n {shlex.quote(target.namespace)}" if target.namespace else ""
    what = f"get {definition.name} {shlex.quote(target.name)}{namespace}"
    commands = [f"kubectl --context fleet/{name} {what}" for name in names[:10]]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return Ambiguous(
        f'{definition.name} "{target.name}" is in {len(rows)} clusters ({", ".join(names[:10])}{more});'
        " ask one of them: " + "; ".join(commands),
        details={
            "name": target.name,
            "group": definition.group,
            "kind": definition.resource,
            "causes": [
                {"reason": "InCluster", "field": name, "message": command}
                for name, command in zip(names, commands, strict=False)
            ],
        },
    )
