"""What every request passes: an id, limits, errors rendered in one place, and who asks."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections import Counter
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from aggregator.rbac.identity import Actor, Identity
from aggregator.rbac.scope import Scope
from aggregator.web import errors
from aggregator.web.keys import ACTOR, REQUEST_ID
from schema.errors import BadRequest, FleetpediaError, TooManyRequests, Unauthorized

log = logging.getLogger(__name__)

OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/healthz"})
AGENT_PREFIX: Final = "/agent/v1/"
"""The wire authenticates by the cluster's credential, itself."""
REQUESTS_PER_ACTOR: Final = 500
"""At once, watches included: one program's mistake must not take the others' answers."""
LOCAL: Final = Actor("loopback", "viewer", Scope.everything())


@web.middleware
async def identify(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give the request its id: the caller's X-Request-Id where it is harmless, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    request[REQUEST_ID] = (
        given if 0 < len(given) <= 64 and given.isascii() and given.isprintable() else secrets.token_hex(8)
    )
    return await handler(request)


@web.middleware
async def render_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FleetpediaError as error:
        return errors.render(request, error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return errors.render(request, errors.from_http(error, request))
    except (ConnectionResetError, asyncio.CancelledError):
        raise  # the caller went away
    except Exception:
        log.exception("request %s: %s %s failed", request[REQUEST_ID], request.method, request.path)
        failure = FleetpediaError(f"something went wrong here; the log has the details under {request[REQUEST_ID]}")
        return errors.render(request, failure)


@web.middleware
async def refuse_nul(request: web.Request, handler: Handler) -> web.StreamResponse:
    """No name of Kubernetes or of ours holds it, and Postgres takes it in no text."""
    if "\0" in request.path or "\0" in request.query_string:
        raise BadRequest("NUL (%00) cannot be in a path or a query parameter; leave it out")
    return await handler(request)


def authenticate(identity: Identity) -> Middleware:
    """Set who asks. /metrics is open on loopback, health everywhere."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path in OPEN_PATHS or request.path.startswith(AGENT_PREFIX):
            return await handler(request)
        authorization = request.headers.get("Authorization", "")
        if not authorization and request.path == "/metrics" and _is_local(request):
            request[ACTOR] = LOCAL
            return await handler(request)
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise Unauthorized(
                "show a token as `Authorization: Bearer …`; create one with: fleetpedia tokens create NAME"
            )
        request[ACTOR] = await identity.actor(token.strip())
        return await handler(request)

    return middleware


def limit_requests(most: int = REQUESTS_PER_ACTOR) -> Middleware:
    """At most `most` requests of one token at a time; more get 429 with Retry-After."""
    running: Counter[str] = Counter()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        actor = request.get(ACTOR)
        if actor is None:
            return await handler(request)
        if running[actor.name] >= most:
            raise TooManyRequests(f"{actor.name} has {most} requests running; wait for some to end", retry_after=1.0)
        running[actor.name] += 1
        try:
            return await handler(request)
        finally:
            running[actor.name] -= 1
            if not running[actor.name]:
                del running[actor.name]

    return middleware


class LongRequests:
    """Watches and long polls: they would hold up a stop for as long as they may last, so a stop ends them."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[object]] = set()

    def middleware(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.serve(request, handler)

        return middleware

    async def serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task = asyncio.current_task()
        if task is None or not _is_long(request):
            return await handler(request)
        self._running.add(task)
        try:
            return await handler(request)
        finally:
            self._running.discard(task)

    async def end(self, app: web.Application) -> None:
        for task in list(self._running):
            task.cancel()


def _is_long(request: web.Request) -> bool:
    return request.path == f"{AGENT_PREFIX}directives" or "watch" in request.query


def _is_local(request: web.Request) -> bool:
    """From this machine itself: what a proxy on it hands on comes from elsewhere."""
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers or request.remote is None:
        return False
    try:
        return ipaddress.ip_address(request.remote).is_loopback
    except ValueError:
        return False
