"""Sync policies: the fleet's and those of single clusters. Agents learn of a change at once and apply it live."""

from __future__ import annotations

from aggregator.rbac.identity import Actor
from aggregator.storage import clusters, directives, operations
from aggregator.storage.pool import Database
from schema.errors import BadRequest
from schema.policy import Policy
from schema.selectors import parse_label_selector


class Policies:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def fleet(self) -> Policy:
        async with self._database.readers.acquire() as connection:
            return await clusters.fleet_policy(connection)

    async def of_cluster(self, name: str) -> tuple[Policy, bool]:
        """The policy that holds for a cluster, and whether it is its own."""
        async with self._database.readers.acquire() as connection:
            row = await clusters.get(connection, name)
            if row.policy is not None:
                return row.policy, True
            return await clusters.fleet_policy(connection), False

    async def set_fleet(self, actor: Actor, policy: Policy) -> None:
        check(policy)
        async with self._database.writers.transaction() as connection:
            await clusters.set_fleet_policy(connection, policy)
            for id in await clusters.without_policy(connection):
                await directives.add(connection, id, "reload")
            await operations.record(connection, "policy-set", actor.name, {"cluster": None})

    async def set_cluster(self, actor: Actor, name: str, policy: Policy | None) -> None:
        """None: back to the fleet's."""
        if policy is not None:
            check(policy)
        async with self._database.writers.transaction() as connection:
            row = await clusters.get(connection, name)
            await clusters.set_policy(connection, row.id, policy)
            await directives.add(connection, row.id, "reload")
            await operations.record(connection, "policy-set", actor.name, {"cluster": name}, row.id)


def check(policy: Policy) -> None:
    """Raises BadRequest that names the rule whose label selector is wrong."""
    for section, rules in (("include", policy.include), ("exclude", policy.exclude)):
        for position, rule in enumerate(rules):
            if any("\0" in text for text in (*rule.groups, *rule.resources, *rule.namespaces)):
                raise BadRequest(f"{section}[{position}]: NUL cannot be in a name")
            if not rule.labels:
                continue
            try:
                parse_label_selector(rule.labels)
            except BadRequest as error:
                raise BadRequest(f"{section}[{position}].labels: {error.message}") from error
