"""The REST face under /api/v1: an operation parses, calls one service, renders; routes and OpenAPI are of one table."""

from __future__ import annotations

from aiohttp import web

from aggregator.web.rest import clusters, objects, openapi, policies, reserved, search, tokens, verify
from aggregator.web.rest.route import Operation
from aggregator.web.services import Services

__all__ = ["operations", "routes"]


def operations(services: Services) -> list[Operation]:
    """The one table, the document that describes it included."""
    parts = (clusters, search, objects, policies, tokens, verify)
    table = [operation for part in parts for operation in part.operations(services)]
    return [*table, *openapi.operations(table)]


def routes(services: Services) -> list[web.RouteDef]:
    return [*(operation.route() for operation in operations(services)), *reserved.routes()]
