"""The routes of the Kubernetes faces, and what each kind of path does."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from aggregator.rbac.identity import Actor
from aggregator.rbac.scope import Scope
from aggregator.search.parse_kube import parse_get_options, parse_list_options
from aggregator.search.run import Engine
from aggregator.storage.catalog import Catalog
from aggregator.web.keys import ACTOR
from aggregator.web.kube import discovery, lists, reviews
from aggregator.web.kube.accept import discovery_form
from aggregator.web.kube.face import Face
from aggregator.web.kube.paths import Target, parse_path
from aggregator.web.kube.watch import watch_objects
from schema.errors import BadRequest, MethodNotAllowed, NotBuilt, NotFound, Unavailable

_DISCOVERY_PARAMETERS: Final = frozenset({"timeout", "pretty"})


class Identifies(Protocol):
    async def actor(self, token: str) -> Actor:
        """Raises Unauthorized."""


class KubeServices(Protocol):
    """What the faces need of the aggregator's services."""

    @property
    def engine(self) -> Engine: ...
    @property
    def catalog(self) -> Catalog: ...
    @property
    def identity(self) -> Identifies: ...


def routes(services: KubeServices) -> list[web.RouteDef]:
    handler = _Handler(services)
    return [
        web.route("*", "/fleet/clusters/{cluster}/{path:.*}", handler.serve),
        web.route("*", "/fleet/clusters/{cluster}", handler.serve),
        web.route("*", "/fleet/{path:.*}", handler.serve),
        web.route("*", "/fleet", handler.serve),
        web.route("*", "/flat/{path:.*}", _flat),
        web.route("*", "/flat", _flat),
        web.route("*", "/clusters/{cluster}/{path:.*}", _live),
        web.route("*", "/clusters/{cluster}", _live),
    ]


async def _flat(request: web.Request) -> web.StreamResponse:
    raise NotBuilt(
        "/flat (every name unique) is not built yet; use /fleet for all clusters or /fleet/clusters/NAME for one"
        " (contexts fleet and fleet/NAME of the kubeconfig)"
    )


async def _live(request: web.Request) -> web.StreamResponse:
    name = request.match_info["cluster"]
    raise NotBuilt(
        f"the tunnel to members is not built yet; read the index at /fleet/clusters/{name} (context fleet/{name}),"
        f" and use the member's own kubeconfig for live access and writes"
    )


class _Handler:
    def __init__(self, services: KubeServices) -> None:
        self._services = services

    async def serve(self, request: web.Request) -> web.StreamResponse:
        actor: Actor = request[ACTOR]
        cluster = request.match_info.get("cluster")
        face = Face.of(self._services.catalog, actor.scope, cluster)
        target = parse_path(request.match_info.get("path", ""))
        if reviews.is_review(request, target):
            return await reviews.answer(request, face, target, actor)
        _refuse_writes(request, cluster)
        if target.what == "objects":
            return await self._objects(request, face, target)
        for name in request.query:
            if name not in _DISCOVERY_PARAMETERS:
                raise BadRequest(f"unknown query parameter {name!r}; known here are pretty and timeout")
        response = _described(request, face, target)
        return lists.pretty(response) if request.query.get("pretty") in ("true", "1", "") else response

    async def _objects(self, request: web.Request, face: Face, target: Target) -> web.StreamResponse:
        type = face.type((target.group, target.version, target.resource))
        if target.subresource:
            raise NotFound(
                f"subresources are not in the index: {target.subresource} of {type.definition.name};"
                " ask the member itself"
            )
        engine = self._services.engine
        parameters = {name: request.query.getall(name) for name in request.query}
        options = parse_get_options(parameters) if target.name else parse_list_options(parameters)
        if options.watch:
            return await watch_objects(request, engine, face, type, target, options, self._current_scope(request))
        read = lists.get_object if target.name else lists.list_objects
        try:
            async with asyncio.timeout(options.timeout or None):
                return await read(request, engine, face, type, target, options)
        except TimeoutError as error:
            raise Unavailable(f"the answer was not ready within {options.timeout:g} s, as was asked") from error

    def _current_scope(self, request: web.Request) -> Callable[[], Awaitable[Scope]]:
        token = request.headers.get("Authorization", "").partition(" ")[2].strip()

        async def look() -> Scope:
            return (await self._services.identity.actor(token)).scope

        return look


def _refuse_writes(request: web.Request, cluster: str | None) -> None:
    if request.method in ("GET", "HEAD"):
        return
    context = cluster or "NAME"
    raise MethodNotAllowed(
        f"{request.method} is not allowed: the index is read-only; write to the member itself, with its own"
        f" kubeconfig (`--context {context}` of this one will lead there once the tunnel is built)",
        details={"causes": [{"reason": "ReadOnly", "message": "the index follows its members"}]},
    )


def _described(request: web.Request, face: Face, target: Target) -> web.Response:
    """Version and discovery, with an ETag."""
    accept = request.headers.get("Accept", "")
    content_type = "application/json"
    if target.what in ("core", "groups") and (form := discovery_form(accept)) != "legacy":
        document = discovery.aggregated(face, form, core=target.what == "core")
        content_type = f"application/json;g=apidiscovery.k8s.io;v={form};as=APIGroupDiscoveryList"
    else:
        discovery_form(accept)
        document = _document(face, target)
    body = orjson.dumps(document)
    etag = f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'
    # Discovery shows what the caller's scope shows: no shared cache may hand it to somebody else.
    caching = {"ETag": etag, "Vary": "Accept, Authorization", "Cache-Control": "private, no-cache"}
    known = [part.strip().removeprefix("W/") for part in request.headers.get("If-None-Match", "").split(",")]
    if etag in known or "*" in known:
        return web.Response(status=304, headers=caching)
    return web.Response(body=body, headers={**caching, "Content-Type": content_type})


def _document(face: Face, target: Target) -> dict[str, Any]:
    match target.what:
        case "version":
            return _version(face)
        case "core":
            return discovery.api_versions(face)
        case "groups":
            return discovery.group_list(face)
        case "group":
            return discovery.group(face, target.group)
        case "resources":
            return discovery.resource_list(face, target.group, target.version)
    return {"paths": ["/api", "/api/v1", "/apis", "/version"]}


def _version(face: Face) -> dict[str, Any]:
    """The newest Kubernetes among the clusters, since clients compare themselves with it."""
    versions = [entry.facts.kubernetes_version for entry in face.clusters() if entry.facts.kubernetes_version]
    newest = max(versions, key=_numbers, default="v1.37.0")
    major, minor, *_ = (*_numbers(newest), 0, 0)
    return {
        "major": str(major),
        "minor": str(minor),
        "gitVersion": newest,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "",
        "goVersion": "",
        "compiler": "",
        "platform": "fleetpedia",
    }


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.removeprefix("v").split("+")[0].split("-")[0].split(".")
    return tuple(int(part) if part.isdigit() else 0 for part in parts)
