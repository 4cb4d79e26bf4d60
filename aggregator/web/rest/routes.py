"""The one table of REST routes, and the answers for names that are reserved."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final, Protocol

import orjson
from aiohttp import web

from aggregator.web.rest import access, clusters, openapi, operations, search
from aggregator.web.rest.route import Handler, Route
from schema.errors import NotBuilt


class RestServices(
    clusters.ClusterServices,
    search.SearchServices,
    access.AccessServices,
    operations.OperationServices,
    Protocol,
):
    pass


_RESERVED: Final = {
    "/api/v1/watch": "watching a query is not built yet; use `kubectl get -w` on /fleet",
    "/mcp": "MCP is not built yet; use /api/v1/search",
    "/apis/clusterpedia.io/{rest:.*}": "ClusterPedia's API is not built yet; use /fleet (kubectl) or /api/v1/search",
}


def table(services: RestServices) -> list[Route]:
    return [
        *clusters.routes(services),
        *search.routes(services),
        *access.routes(services),
        *operations.routes(services),
    ]


def routes(services: RestServices) -> list[web.RouteDef]:
    rest = table(services)
    described = orjson.dumps(openapi.document(rest, version("fleetpedia")))

    async def serve_openapi(_: web.Request) -> web.Response:
        return web.Response(body=described, content_type="application/json")

    return [
        *(route.served() for route in rest),
        web.get("/openapi.json", serve_openapi),
        *(web.route("*", path, _reserved(message)) for path, message in _RESERVED.items()),
    ]


def _reserved(message: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        raise NotBuilt(message)

    return handler
