"""/api/v1/tokens and /api/v1/policy: who may read and manage, and what is synced."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec
from aiohttp import web

from aggregator.operations.policies import Policies
from aggregator.operations.tokens import Tokens
from aggregator.rbac.identity import Actor, Role
from aggregator.status.clusters import stamp
from aggregator.storage import tokens as storage
from aggregator.web.rest.request import actor, answer, body, parameters
from aggregator.web.rest.route import Route
from schema.errors import NotBuilt, NotFound
from schema.policy import Policy


class AccessServices(Protocol):
    @property
    def tokens(self) -> Tokens: ...
    @property
    def policies(self) -> Policies: ...


class NewToken(msgspec.Struct, forbid_unknown_fields=True):
    """Empty lists mean all; `*` is a wildcard. `ttl` in seconds."""

    name: str
    role: Role = "viewer"
    clusters: list[str] = []
    namespaces: list[str] = []
    kinds: list[str] = []
    ttl: float | None = None


class MadeToken(msgspec.Struct):
    name: str
    token: str


def routes(services: AccessServices) -> list[Route]:
    tokens, policies = services.tokens, services.policies

    async def create_token(request: web.Request) -> web.Response:
        parameters(request, ())
        new = await body(request, NewToken)
        made = await tokens.create(
            actor(request),
            new.name,
            new.role,
            clusters=new.clusters,
            namespaces=new.namespaces,
            kinds=new.kinds,
            ttl=new.ttl,
        )
        return answer(MadeToken(new.name, made), 201)

    async def list_tokens(request: web.Request) -> web.Response:
        parameters(request, ())
        return answer({"items": [_token(token) for token in await tokens.all(actor(request))]})

    async def revoke_token(request: web.Request) -> web.Response:
        parameters(request, ())
        await tokens.revoke(actor(request), request.match_info["name"])
        return answer({"name": request.match_info["name"], "revoked": True})

    async def get_fleet(request: web.Request) -> web.Response:
        parameters(request, ())
        return answer(_whole(await policies.fleet()))

    async def put_fleet(request: web.Request) -> web.Response:
        parameters(request, ())
        policy = await body(request, Policy)
        await policies.set_fleet(actor(request), policy)
        return answer(_whole(policy))

    async def reset_fleet(request: web.Request) -> web.Response:
        parameters(request, ())
        await policies.set_fleet(actor(request), Policy())
        return answer(_whole(Policy()))

    async def get_cluster(request: web.Request) -> web.Response:
        parameters(request, ())
        policy, own = await policies.of_cluster(_cluster(request, actor(request)))
        return answer({**_whole(policy), "own": own})

    async def put_cluster(request: web.Request) -> web.Response:
        parameters(request, ())
        policy = await body(request, Policy)
        await policies.set_cluster(actor(request), request.match_info["name"], policy)
        return answer({**_whole(policy), "own": True})

    async def reset_cluster(request: web.Request) -> web.Response:
        parameters(request, ())
        await policies.set_cluster(actor(request), request.match_info["name"], None)
        return answer({**_whole(await policies.fleet()), "own": False})

    async def preview(_: web.Request) -> web.Response:
        raise NotBuilt("a preview of a policy is reserved; set it and see `fleetpedia clusters get NAME`")

    cluster = "/api/v1/clusters/{name}/policy"
    return [
        Route("GET", "/api/v1/tokens", "listTokens", "All tokens, without their secrets", list_tokens),
        Route(
            "POST", "/api/v1/tokens", "createToken", "A token with a role and a scope", create_token,
            body=NewToken, result=MadeToken, status=201,
        ),
        Route("DELETE", "/api/v1/tokens/{name}", "revokeToken", "Void it at once", revoke_token),
        Route("GET", "/api/v1/policy", "getPolicy", "The fleet's sync policy", get_fleet, result=Policy),
        Route("PUT", "/api/v1/policy", "setPolicy", "Set the fleet's", put_fleet, body=Policy, result=Policy),
        Route("DELETE", "/api/v1/policy", "resetPolicy", "Back to the default", reset_fleet, result=Policy),
        Route("POST", "/api/v1/policy/preview", "previewPolicy", "Reserved (501)", preview, status=501),
        Route("GET", cluster, "getClusterPolicy", "What holds for a cluster", get_cluster),
        Route("PUT", cluster, "setClusterPolicy", "A policy of its own", put_cluster, body=Policy),
        Route("DELETE", cluster, "resetClusterPolicy", "Back to the fleet's", reset_cluster),
        Route("POST", f"{cluster}/preview", "previewClusterPolicy", "Reserved (501)", preview, status=501),
    ]  # fmt: skip


def _whole(policy: Policy) -> dict[str, Any]:
    """With defaults written out, so that what holds can be read."""
    return {
        section: [
            {"groups": rule.groups, "resources": rule.resources, "namespaces": rule.namespaces, "labels": rule.labels}
            for rule in rules
        ]
        for section, rules in (("include", policy.include), ("exclude", policy.exclude))
    }


def _cluster(request: web.Request, who: Actor) -> str:
    name = request.match_info["name"]
    if not who.scope.allows_cluster(name):
        raise NotFound(f"there is no cluster {name}; see: fleetpedia clusters list")
    return name


def _token(token: storage.Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "role": token.role,
        "clusters": token.clusters,
        "namespaces": token.namespaces,
        "kinds": token.kinds,
        "created": stamp(token.created),
        "expires": stamp(token.expires),
        "expired": token.expired,
        "revoked": stamp(token.revoked),
    }
