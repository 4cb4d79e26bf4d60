"""/api/v1/verify and /api/v1/operations: long work, and how far it is."""

from __future__ import annotations

from typing import Protocol

import msgspec
from aiohttp import web

from aggregator.operations.verify import Verify
from aggregator.status.clusters import stamp
from aggregator.storage import operations
from aggregator.storage.pool import Database
from aggregator.web.rest.request import actor, answer, body, parameters
from aggregator.web.rest.route import Route
from schema.errors import BadRequest, NotFound


class OperationServices(Protocol):
    @property
    def database(self) -> Database: ...
    @property
    def verify(self) -> Verify: ...


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Empty lists mean all. `timeout` (seconds): for every type to be in sync."""

    clusters: list[str] = []
    types: list[str] = []
    repair: bool = False
    timeout: float = 60.0


def routes(services: OperationServices) -> list[Route]:
    async def verify(request: web.Request) -> web.Response:
        parameters(request, ())
        wanted = await body(request, Wanted)
        if not 0 < wanted.timeout <= 3600:
            raise BadRequest(f"timeout={wanted.timeout:g}: seconds above 0, at most 3600, are needed")
        id = await services.verify.begin(
            actor(request), wanted.clusters, wanted.types, repair=wanted.repair, timeout=wanted.timeout
        )
        return answer({"id": id, "phase": "Running"}, 202)

    async def get(request: web.Request) -> web.Response:
        parameters(request, ())
        actor(request).require_admin("see operations")
        text = request.match_info["id"]
        found = await operations.get(services.database, int(text)) if text.isascii() and text.isdigit() else None
        if found is None:
            raise NotFound(f"there is no operation {text}")
        return answer(
            {
                "id": found.id,
                "kind": found.kind,
                "actor": found.actor,
                "args": found.args,
                "phase": found.phase,
                "message": found.message,
                "result": found.result,
                "created": stamp(found.created),
                "finished": stamp(found.finished),
            }
        )

    return [
        Route(
            "POST",
            "/api/v1/verify",
            "verify",
            "Prove that store and members are equal, object by object; an operation",
            verify,
            body=Wanted,
            status=202,
        ),
        Route("GET", "/api/v1/operations/{id}", "getOperation", "Phase and result of an operation", get),
    ]
