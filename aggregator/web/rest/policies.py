"""`/api/v1/policy` and each cluster's: what agents send."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from aggregator.web.rest.route import Call, Operation
from aggregator.web.services import Services
from schema.errors import NotBuilt
from schema.policy import Policy

FLEET: Final = "/api/v1/policy"
CLUSTER: Final = "/api/v1/clusters/{cluster}/policy"


def operations(services: Services) -> list[Operation]:
    policies = services.policies

    async def get_fleet(call: Call) -> Any:
        return whole(await policies.fleet())

    async def set_fleet(call: Call) -> Any:
        await policies.set_fleet(call.actor, call.body)
        return whole(call.body)

    async def reset_fleet(call: Call) -> Any:
        await policies.set_fleet(call.actor, Policy())
        return whole(Policy())

    async def get_cluster(call: Call) -> Any:
        policy, _ = await policies.of_cluster(call.path["cluster"])
        return whole(policy)

    async def set_cluster(call: Call) -> Any:
        await policies.set_cluster(call.actor, call.path["cluster"], call.body)
        return whole(call.body)

    async def reset_cluster(call: Call) -> Any:
        await policies.set_cluster(call.actor, call.path["cluster"], None)
        return whole((await policies.of_cluster(call.path["cluster"]))[0])

    async def preview(call: Call) -> web.StreamResponse:
        raise NotBuilt(
            "previews of a policy are not built yet; set it for one cluster first (policy set --cluster C) and look at "
            "`fleetpedia clusters get C`; policy set --cluster C --reset takes it back"
        )

    preview_text = "What a policy would add and drop (reserved)"
    return [
        Operation("getFleetPolicy", "GET", FLEET, "The fleet's policy", get_fleet, answer=Policy),
        Operation("setFleetPolicy", "PUT", FLEET, "Replace it", set_fleet, body=Policy, answer=Policy),
        Operation("resetFleetPolicy", "DELETE", FLEET, "Back to the default", reset_fleet, answer=Policy),
        Operation("previewFleetPolicy", "POST", f"{FLEET}/preview", preview_text, preview, status=501, reserved=True),
        Operation(
            "getClusterPolicy", "GET", CLUSTER, "The policy that holds for a cluster", get_cluster, answer=Policy
        ),
        Operation(
            "setClusterPolicy", "PUT", CLUSTER, "Give it one of its own", set_cluster, body=Policy, answer=Policy
        ),
        Operation("resetClusterPolicy", "DELETE", CLUSTER, "Back to the fleet's", reset_cluster, answer=Policy),
        Operation(
            "previewClusterPolicy", "POST", f"{CLUSTER}/preview", preview_text, preview, status=501, reserved=True
        ),
    ]


def whole(policy: Policy) -> dict[str, Any]:
    """With what is at its default, so that a person can see and edit it."""
    return {
        section: [
            {
                "groups": list(rule.groups),
                "resources": list(rule.resources),
                **({"namespaces": list(rule.namespaces)} if rule.namespaces else {}),
                **({"labels": rule.labels} if rule.labels else {}),
            }
            for rule in rules
        ]
        for section, rules in (("include", policy.include), ("exclude", policy.exclude))
    }
