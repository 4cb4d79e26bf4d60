"""The HTTP face: one listener, a path prefix per member, and under it the paths of a kube-apiserver."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from . import discovery, lists, options, status, watch
from .faults import Faults, MemberDownError
from .member import Member
from .template import go_json
from .types import BUILT_IN, ServedType
from .writes import Writer

JSON = "application/json"
BUILT_IN_GROUPS = frozenset(served.group for served in BUILT_IN)
SMALL = 1 << 16
"""Answers up to this size are one write."""
FUTURE_SECONDS = 3.0
"""How long a request for a version that is yet to come is held before it is refused."""
LARGEST_BODY = 3 * 1024 * 1024
PUBLIC = ("/version", "/livez", "/readyz", "/healthz")


@dataclass
class Counts:
    """What a member was asked, for the statistics of benchmarks."""

    requests: Counter[str] = field(default_factory=Counter)
    bytes_out: int = 0
    watching: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """What a resource path names."""

    served: ServedType
    namespace: str
    name: str
    subresource: str
    watch: bool


class MemberFace:
    """Answers the requests to one member."""

    def __init__(self, member: Member, faults: Faults, address: str, bookmark_seconds: float) -> None:
        self.member = member
        self.faults = faults
        self.address = address
        self.bookmark_seconds = bookmark_seconds
        self.counts = Counts()
        self._writer = Writer(member)

    async def answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        try:
            return await self._answer(request, path)
        except status.StatusError as error:
            self.counts.requests[f"error {error.code}"] += 1
            headers = {"Retry-After": str(error.retry_after)} if error.retry_after else {}
            if error.plain:
                return web.Response(status=error.code, text="404 page not found\n")
            return web.Response(status=error.code, body=error.body() + b"\n", content_type=JSON, headers=headers)
        except MemberDownError:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)

    async def _answer(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        await self.faults.before(self.member.name, path)
        if path in PUBLIC:
            return self._public(path)
        if request.headers.get("Authorization") != f"Bearer {self.member.token}":
            raise status.unauthorized()
        parts = path.strip("/").split("/")
        if parts[0] == "api" and len(parts) <= 2:
            return self._discover(request, path, parts)
        if parts[0] == "apis" and len(parts) <= 3:
            return self._discover(request, path, parts)
        target = self._target(parts)
        if target.subresource and target.subresource != "status":
            raise status.no_such_path()
        match request.method:
            case "GET" | "HEAD":
                return await self._read(request, target)
            case "POST" | "PUT" | "PATCH" | "DELETE":
                return await self._write(request, target)
        raise status.method_not_allowed()

    # -- paths -----------------------------------------------------------------------------------------------------

    def _public(self, path: str) -> web.Response:
        self.counts.requests[path.strip("/")] += 1
        if path == "/version":
            return web.Response(body=go_json(discovery.VERSION), content_type=JSON)
        return web.Response(text="ok")

    def _target(self, parts: list[str]) -> Target:
        if parts[0] == "api" and len(parts) >= 3:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[0] == "apis" and len(parts) >= 4:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            raise status.no_such_page()
        old_watch = rest[0] == "watch" and len(rest) > 1
        rest = rest[1:] if old_watch else rest
        namespace = ""
        if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        served = self.member.find(group, version, rest[0])
        if served is None and group not in BUILT_IN_GROUPS:
            raise status.no_such_page()
        if served is None or (namespace and not served.namespaced) or len(rest) > 3:
            raise status.no_such_path()
        name, subresource = (*rest[1:], "", "")[:2]
        if name and served.namespaced and not namespace:
            raise status.no_such_path()
        return Target(served, namespace, name, subresource, old_watch)

    def _discover(self, request: web.BaseRequest, path: str, parts: list[str]) -> web.Response:
        self.counts.requests["discovery"] += 1
        accept = request.headers.get("Accept", "")
        content_type = JSON
        core = parts[0] == "api"
        if len(parts) == 1 and "as=APIGroupDiscoveryList" in accept:
            version = "v2" if "v=v2;" in accept or accept.rstrip().endswith("v=v2") else "v2beta1"
            content_type = discovery.AGGREGATED.format(version=version)
            body: bytes | None = discovery.aggregated(self.member, core, version, self.faults.stale(self.member.name))
        elif len(parts) == 1:
            body = discovery.api_versions(self.address) if core else discovery.group_list(self.member)
        elif core:
            body = discovery.resource_list(self.member, "", parts[1])
        elif len(parts) == 2:
            body = discovery.group(self.member, parts[1])
        else:
            body = discovery.resource_list(self.member, parts[1], parts[2])
        if body is None:
            raise status.no_such_path() if parts[1] in BUILT_IN_GROUPS else status.no_such_page()
        etag = f'"{hashlib.sha512(body).hexdigest().upper()}"'
        headers = {"Content-Type": content_type, "Vary": "Accept", "Etag": etag, "Cache-Control": "public"}
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"Etag": etag, "Vary": "Accept"})
        self.counts.bytes_out += len(body)
        return web.Response(body=body + b"\n", headers=headers)

    # -- reading ---------------------------------------------------------------------------------------------------

    async def _read(self, request: web.BaseRequest, target: Target) -> web.StreamResponse:
        member, served = self.member, target.served
        if target.name and not target.watch:
            self._need(served, "get")
            held = member.get(served.storage, target.namespace, target.name)
            if held is None:
                raise status.not_found(served.group, served.resource, target.name)
            body = lists.object_bytes(member, served, held) + b"\n"
            self.counts.bytes_out += len(body)
            return web.Response(body=body, content_type=JSON)
        parsed = options.parse(request.query, served, member.identity, target.watch)
        verb = "watch" if parsed.watch else "list"
        self._need(served, verb)
        if parsed.watch:
            return await self._watch(request, target, parsed)
        try:
            page = lists.Page(member, served, target.namespace, parsed)
        except status.StatusError as error:
            if error.code == 504:
                await asyncio.sleep(FUTURE_SECONDS)
            raise
        return await self._send_page(request, page)

    def _need(self, served: ServedType, verb: str) -> None:
        self.counts.requests[verb] += 1
        if verb not in served.verbs:
            raise status.method_not_allowed()
        self.faults.allowed(self.member.name, verb, served.resource, served.group)

    async def _send_page(self, request: web.BaseRequest, page: lists.Page) -> web.StreamResponse:
        if len(page.items) <= 2 * lists.CHUNK:
            body = b"".join(page.chunks())
            self.counts.bytes_out += len(body)
            return web.Response(body=body, content_type=JSON)
        response = web.StreamResponse(headers={"Content-Type": JSON})
        await response.prepare(request)
        for chunk in page.chunks():
            self.counts.bytes_out += len(chunk)
            await response.write(chunk)
            await asyncio.sleep(0)
        await response.write_eof()
        return response

    async def _watch(self, request: web.BaseRequest, target: Target, parsed: options.Options) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": JSON})
        if parsed.initial_events and parsed.rv and parsed.rv > self.member.rv:
            await asyncio.sleep(FUTURE_SECONDS)
        stream = watch.Watch(self.member, target.served, target.namespace, parsed, self.bookmark_seconds)
        await response.prepare(request)
        self.counts.watching += 1
        try:
            async for text in stream.events():
                self.counts.bytes_out += len(text)
                await response.write(text)
            if stream.cut and request.transport is not None:
                request.transport.abort()
                return response
            await response.write_eof()
        except (ConnectionResetError, asyncio.CancelledError):
            if request.transport is not None and not request.transport.is_closing():
                raise
        finally:
            self.counts.watching -= 1
        return response

    # -- writing ---------------------------------------------------------------------------------------------------

    async def _write(self, request: web.BaseRequest, target: Target) -> web.Response:
        verb = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[request.method]
        if (verb == "create") == bool(target.name) and verb != "delete":
            raise status.method_not_allowed()
        if verb == "delete" and not target.name:
            verb = "deletecollection"
        self._need(target.served, verb)
        try:
            payload = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise status.too_large_body(LARGEST_BODY) from error
        content_type = request.headers.get("Content-Type", JSON).partition(";")[0]
        code, body = self._writer.apply(verb, target.served, target.namespace, target.name, payload, content_type)
        self.counts.bytes_out += len(body)
        return web.Response(status=code, body=body, content_type=JSON)


def make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    """As aiohttp makes them, but with the API server's limit for bodies."""
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=LARGEST_BODY)


Admin = Callable[[web.BaseRequest, str], Awaitable[web.StreamResponse]]


class Edge:
    """Finds the member by the first part of the path."""

    def __init__(self, faces: dict[str, MemberFace], admin: Admin) -> None:
        self._faces = faces
        self._admin = admin
        self.started = time.time()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        first, _, rest = path[1:].partition("/")
        if first == "_simulator":
            return await self._admin(request, rest)
        face = self._faces.get(first)
        if face is None:
            error = status.no_such_path()
            return web.Response(status=404, body=error.body() + b"\n", content_type=JSON)
        return await face.answer(request, "/" + rest)
