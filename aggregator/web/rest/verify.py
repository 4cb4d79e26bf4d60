"""`/api/v1/verify` and `/api/v1/operations`: proofs, and how far long work is."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from aggregator.status.clusters import stamp
from aggregator.storage import operations as storage
from aggregator.web.rest.route import Call, Operation
from aggregator.web.services import Services
from schema.errors import NotFound


class VerifyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Empty lists: all. Types as `pods` or `deployments.apps`. `timeout`: seconds, for getting in sync."""

    clusters: list[str] = []
    types: list[str] = []
    repair: bool = False
    timeout: Annotated[float, msgspec.Meta(gt=0, le=86400)] = 60.0


class OperationView(msgspec.Struct):
    """`result` of a verify: {"equal": true, false or null (not checked), "clusters": [{"name", "type", "member",
    "store", "missing", "ghost", "different"}], "unchecked": [{"name", "type", "reason"}]}."""

    id: int
    kind: str
    actor: str
    phase: Literal["Pending", "Running", "Succeeded", "Failed"]
    message: str
    result: dict[str, Any] | None
    created: str
    finished: str | None


def operations(services: Services) -> list[Operation]:
    async def verify(call: Call) -> Any:
        body: VerifyRequest = call.body
        return await shown(
            await services.verification.begin(
                call.actor, body.clusters, body.types, repair=body.repair, timeout=body.timeout
            )
        )

    async def get(call: Call) -> Any:
        text = call.path["id"]
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise NotFound(f"there is no operation {text}")
        return await shown(int(text))

    async def shown(id: int) -> OperationView:
        found = await storage.get(services.database, id)
        if found is None:
            raise NotFound(f"there is no operation {id}")
        return OperationView(
            id=found.id,
            kind=found.kind,
            actor=found.actor,
            phase=found.phase,
            message=found.message,
            result=found.result,
            created=stamp(found.created),
            finished=None if found.finished is None else stamp(found.finished),
        )

    return [
        Operation(
            *("verify", "POST", "/api/v1/verify", "Compare the index with the members, object by object", verify),
            body=VerifyRequest,
            answer=OperationView,
            status=202,
        ),
        Operation("getOperation", "GET", "/api/v1/operations/{id}", "How far it is", get, answer=OperationView),
    ]
