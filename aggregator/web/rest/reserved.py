"""Names that later capabilities will have: 501 with what to use instead, so that nobody takes them for a mistake."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from schema.errors import NotBuilt

_RESERVED: Final = {
    "/mcp": "MCP is not built yet; ask /api/v1/search",
    "/apis/clusterpedia.io/{rest:.*}": (
        "ClusterPedia's paths are not built yet; /fleet and /fleet/clusters/NAME serve the same objects (contexts "
        "fleet and fleet/NAME of the kubeconfig)"
    ),
}


def routes() -> list[web.RouteDef]:
    return [web.route("*", path, _saying(message)) for path, message in _RESERVED.items()]


def _saying(message: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(request: web.Request) -> web.StreamResponse:
        raise NotBuilt(message)

    return handler
