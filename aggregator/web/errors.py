"""The one place that turns errors into answers: Status on the Kubernetes faces, problem+json (RFC 9457) elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import orjson
from aiohttp import web

from aggregator.web.keys import REQUEST_ID
from aggregator.web.kube.status import status_of
from schema.errors import FleetpediaError

log = logging.getLogger(__name__)
KUBERNETES_PREFIXES: Final = ("/fleet", "/flat", "/clusters", "/apis")


def render(request: web.Request, error: FleetpediaError) -> web.Response:
    kubernetes = any(request.path == prefix or request.path.startswith(f"{prefix}/") for prefix in KUBERNETES_PREFIXES)
    body = status_of(error) if kubernetes else problem(error, request)
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after)))
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="fleetpedia"'
    content_type = "application/json" if kubernetes else "application/problem+json"
    return web.Response(status=error.status, body=orjson.dumps(body), content_type=content_type, headers=headers)


def problem(error: FleetpediaError, request: web.Request) -> Mapping[str, Any]:
    return {
        "type": "about:blank",
        "title": error.reason,
        "status": error.status,
        "detail": error.message,
        "reason": error.reason,
        "message": error.message,
        "details": error.details,
        "instance": request.path,
        "requestId": request.get(REQUEST_ID, ""),
    }


def from_http(error: web.HTTPException, request: web.Request) -> FleetpediaError:
    """aiohttp's own refusals (no such route, body too large …) in our tree."""
    kind = next((kind for kind in _tree(FleetpediaError) if kind.status == error.status), FleetpediaError)
    message = error.reason
    if error.status == 404:
        message = f"there is nothing at {request.path}; see /openapi.json, /fleet/ and docs/reference"
    elif isinstance(error, web.HTTPMethodNotAllowed):
        message = (
            f"{request.method} is not allowed at {request.path}; allowed: {', '.join(sorted(error.allowed_methods))}"
        )
    elif error.status == 413:
        message = "the body is larger than this path takes"
    failure = kind.__new__(kind)
    FleetpediaError.__init__(failure, message)
    return failure


def _tree(kind: type[FleetpediaError]) -> list[type[FleetpediaError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in _tree(child))]
