"""`/api/v1/tokens`: who may read and manage."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import msgspec

from aggregator.status.clusters import stamp
from aggregator.web.rest.route import Call, Operation
from aggregator.web.services import Services

BASE: Final = "/api/v1/tokens"
Role = Literal["viewer", "admin"]


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """Patterns with `*`; an empty list is everything. `ttl`: seconds; null = until it is revoked."""

    name: str
    role: Role = "viewer"
    clusters: list[str] = []
    namespaces: list[str] = []
    kinds: list[str] = []
    ttl: Annotated[float, msgspec.Meta(gt=0, le=100 * 365 * 86400)] | None = None


class CreatedToken(msgspec.Struct):
    """`token` is shown this once."""

    name: str
    token: str


class TokenView(msgspec.Struct):
    name: str
    role: str
    clusters: list[str]
    namespaces: list[str]
    kinds: list[str]
    created: str
    expires: str | None
    revoked: str | None
    expired: bool


class TokenList(msgspec.Struct):
    items: list[TokenView]


def operations(services: Services) -> list[Operation]:
    tokens = services.tokens

    async def create(call: Call) -> Any:
        body: NewToken = call.body
        token = await tokens.create(
            call.actor,
            body.name,
            body.role,
            clusters=body.clusters,
            namespaces=body.namespaces,
            kinds=body.kinds,
            ttl=None if body.ttl is None else timedelta(seconds=body.ttl),
        )
        return CreatedToken(body.name, token)

    async def list_all(call: Call) -> Any:
        return TokenList(
            [
                TokenView(
                    name=token.name,
                    role=token.role,
                    clusters=token.clusters,
                    namespaces=token.namespaces,
                    kinds=token.kinds,
                    created=stamp(token.created),
                    expires=stamp(token.expires) if token.expires else None,
                    revoked=stamp(token.revoked) if token.revoked else None,
                    expired=token.expired,
                )
                for token in await tokens.all()
            ]
        )

    async def revoke(call: Call) -> Any:
        await tokens.revoke(call.actor, call.path["name"])

    return [
        Operation("listTokens", "GET", BASE, "All tokens, without their secrets", list_all, answer=TokenList),
        Operation("createToken", "POST", BASE, "A new token", create, body=NewToken, answer=CreatedToken, status=201),
        Operation("revokeToken", "DELETE", f"{BASE}/{{name}}", "End a token at once", revoke, status=204),
    ]
