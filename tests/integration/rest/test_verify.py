"""Proofs: what the agents report and what is stored, as one verdict. Agents are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aggregator.storage import directives
from aggregator.storage.pool import Database
from schema.wire import Directive, DirectiveResult
from tests.integration.fleet import PODS, Fleet
from tests.integration.rest.conftest import Edge

Report = dict[str, Any]
Play = Callable[[str, Directive], DirectiveResult]


def equal(cluster: str, directive: Directive) -> DirectiveResult:
    """Every type has two objects, as the fleet has them."""
    return DirectiveResult(directive.id, "", {"types": [report(name) for name in directive.args["types"]]})


def report(type: str, **different: Any) -> Report:
    return {"type": type, "member": 2, "store": 2, "missing": [], "ghost": [], "different": [], **different}


@asynccontextmanager
async def agents(fleet: Fleet, play: Play) -> AsyncIterator[list[tuple[str, str, list[str]]]]:
    """Agents that are connected and answer directives as `play` says; yields what they were asked."""
    asked: list[tuple[str, str, list[str]]] = []
    await fleet.database.writers.execute("update fleet.session set opened = now() - interval '1 minute'")
    await fleet.database.writers.execute("update fleet.cluster set agent_seen = now()")

    async def run() -> None:
        while True:
            for name, member in fleet.members.items():
                async with fleet.database.writers.transaction() as connection:
                    for directive in await directives.take(connection, member.id):
                        asked.append((name, directive.kind, directive.args["types"]))
                        await directives.finish(connection, member.id, [play(name, directive)])
            await asyncio.sleep(0.02)

    task = asyncio.create_task(run())
    yield asked
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def verified(edge: Edge, **body: Any) -> Report:
    """The finished operation."""
    begun = await edge.ask("POST", "/api/v1/verify", {"timeout": 5, **body})
    assert begun.status == 202, begun.text
    async with asyncio.timeout(20):
        while True:
            found: Report = await edge.get(f"/api/v1/operations/{begun.json['id']}")
            if found["phase"] not in ("Pending", "Running"):
                return found
            await asyncio.sleep(0.05)


async def test_equal_where_every_agent_and_the_scrub_say_so(edge: Edge, fleet: Fleet) -> None:
    async with agents(fleet, equal) as asked:
        operation = await verified(edge)
    assert operation["phase"] == "Succeeded"
    result = operation["result"]
    assert (result["equal"], result["unchecked"]) == (True, [])
    named = [(entry["name"], entry["type"]) for entry in result["clusters"]]
    assert named == [(name, type) for name in ("east", "west") for type in ("configmaps", "namespaces", "pods")]
    assert all(entry["member"] == entry["store"] == 2 for entry in result["clusters"])
    assert [kind for _, kind, _ in asked] == ["verify", "verify"]


async def test_clusters_and_types_limit_what_is_compared(edge: Edge, fleet: Fleet) -> None:
    async with agents(fleet, equal) as asked:
        operation = await verified(edge, clusters=["west"], types=["pods"])
    assert [(entry["name"], entry["type"]) for entry in operation["result"]["clusters"]] == [("west", "pods")]
    assert asked == [("west", "verify", ["pods"])]


async def test_names_that_are_not_there_are_refused(edge: Edge, fleet: Fleet) -> None:
    for body, says in (({"clusters": ["none"]}, "none"), ({"types": ["shoes"]}, "shoes"), ({"timeout": 0}, "timeout")):
        answer = await edge.ask("POST", "/api/v1/verify", body)
        assert answer.status in (400, 404)
        assert says in answer.json["detail"]


async def test_a_difference_counts_only_when_it_is_there_twice(edge: Edge, fleet: Fleet) -> None:
    seen: list[str] = []

    def once(cluster: str, directive: Directive) -> DirectiveResult:
        seen.append(cluster)
        missing = ["shop/new"] if seen.count(cluster) == 1 else []
        return DirectiveResult(
            directive.id, "", {"types": [report(n, missing=missing) for n in directive.args["types"]]}
        )

    async with agents(fleet, once):
        assert (await verified(edge, types=["pods"]))["result"]["equal"] is True

    def always(cluster: str, directive: Directive) -> DirectiveResult:
        types = [report(n, missing=["shop/new"] if cluster == "east" else []) for n in directive.args["types"]]
        return DirectiveResult(directive.id, "", {"types": types})

    async with agents(fleet, always):
        result = (await verified(edge, types=["pods"]))["result"]
    assert result["equal"] is False
    assert {entry["name"]: entry["missing"] for entry in result["clusters"]} == {"east": ["shop/new"], "west": []}


async def test_a_column_that_does_not_follow_from_the_bytes_is_different(
    edge: Edge, fleet: Fleet, database: Database
) -> None:
    await database.writers.execute("update fleet.cluster_type set shape = ' '")  # of rows whose shape is known
    async with agents(fleet, equal):
        result = (await verified(edge, clusters=["east"], types=["pods"]))["result"]
    assert result["clusters"][0]["different"] == ["bank/web-0", "shop/web-0"]  # their fingerprints are of another shape
    assert result["equal"] is False


async def test_repair_distrusts_the_rows_and_has_the_type_compared(
    edge: Edge, fleet: Fleet, database: Database
) -> None:
    relisted: list[str] = []

    def healed(cluster: str, directive: Directive) -> DirectiveResult:
        if directive.kind == "relist":
            relisted.append(cluster)
            return DirectiveResult(directive.id)
        different = [] if relisted else ["shop/web-0"]
        types = [report(name, different=different) for name in directive.args["types"]]
        return DirectiveResult(directive.id, "", {"types": types})

    async with agents(fleet, healed) as asked:
        result = (await verified(edge, clusters=["east"], types=["pods"], repair=True))["result"]
    assert result["equal"] is True
    assert [kind for _, kind, _ in asked] == ["verify", "relist", "verify"]
    rows = await database.readers.fetch(
        "select namespace, name from fleet.object where fingerprint = 0 and cluster_id = $1", fleet.members["east"].id
    )
    assert [tuple(row) for row in rows] == [("shop", "web-0")]


async def test_what_cannot_be_compared_says_why(edge: Edge, fleet: Fleet, database: Database) -> None:
    id = fleet.members["east"].types[PODS]
    await database.writers.execute(
        "update fleet.cluster_type set state = 'Denied', reason = 'no' where type_id = $1", id
    )
    async with agents(fleet, equal):
        result = (await verified(edge, clusters=["east"]))["result"]
        assert result["equal"] is None
        assert result["unchecked"] == [{"name": "east", "type": "pods", "reason": "no"}]
        await database.writers.execute(
            "update fleet.cluster set member_seen = now() - interval '1 hour', message = 'gone'"
        )
        result = (await verified(edge, clusters=["west"], timeout=0.5))["result"]
        assert result["equal"] is None
        assert {entry["reason"] for entry in result["unchecked"]} == {"gone"}


async def test_a_session_that_ends_meanwhile_has_it_done_again(edge: Edge, fleet: Fleet, database: Database) -> None:
    asked_again: list[str] = []

    def renewed(cluster: str, directive: Directive) -> DirectiveResult:
        asked_again.append(cluster)
        error = "the session ended" if len(asked_again) == 1 else ""
        answer = equal(cluster, directive)
        return DirectiveResult(directive.id, error, {} if error else answer.result)

    async with agents(fleet, renewed):
        result = (await verified(edge, clusters=["east"], types=["pods"]))["result"]
    assert result["equal"] is True
    assert len(asked_again) == 2


async def test_too_many_proofs_at_once_are_told_to_wait(edge: Edge, fleet: Fleet) -> None:
    for _ in range(4):
        assert (await edge.ask("POST", "/api/v1/verify", {"timeout": 3})).status == 202
    answer = await edge.ask("POST", "/api/v1/verify", {"timeout": 3})
    assert answer.status == 429
    assert int(answer.headers["Retry-After"]) >= 1
