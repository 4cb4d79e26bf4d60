"""Directives, pause, and the proofs at intervals."""

from __future__ import annotations

import asyncio
import itertools
import random

from aiohttp import web

from schema.body import bucket
from schema.wire import DirectiveResult
from simulator.fleet import Fleet, MemberHandle
from tests.integration.agent.agents import agent, config_map, stored, versions
from tests.integration.agent_hub import AgentHub


def spoil(hub: AgentHub, name: str = "configmaps") -> tuple[str, str, str]:
    """Make the store wrong in three ways: (missing, ghost, different)."""
    held = hub.named(name)
    missing, other, different = sorted(held.rows)[:3]
    held.rows.pop(missing)
    ghost = held.rows.pop(other)
    ghost.name, ghost.uid, ghost.bucket = "ghost", "dead", bucket(ghost.namespace, "ghost")
    held.rows[ghost.namespace, "ghost"] = ghost
    held.rows[different].fingerprint ^= 1
    return "/".join(missing), f"{ghost.namespace}/ghost", "/".join(different)


async def test_verify_names_what_differs(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        clean = await hub.order("verify", types=[])
        assert not clean.error
        assert len(clean.result["types"]) == len(hub.types)
        assert all(not (one["missing"] or one["ghost"] or one["different"]) for one in clean.result["types"])
        count = len(hub.rows("configmaps"))
        assert next(one for one in clean.result["types"] if one["type"] == "configmaps")["member"] == count

        missing, ghost, different = spoil(hub)
        report = (await hub.order("verify", types=["configmaps"])).result["types"][0]
        assert missing in report["missing"]
        assert report["ghost"] == [ghost]
        assert report["different"] == [different]
        assert (report["member"], report["store"]) == (count, count - 1)


async def test_verify_is_not_fooled_by_churn(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        task = asyncio.create_task(_churn(member))
        report = (await hub.order("verify", types=["configmaps"])).result["types"][0]
        assert not task.done()
        task.cancel()
        assert [report[sort] for sort in ("missing", "ghost", "different")] == [[], [], []]


async def _churn(member: MemberHandle) -> None:
    live: list[str] = []
    for number in itertools.count():
        live.append(f"churn-{number}")
        member.create(config_map(live[-1]))
        if number > 20:
            member.delete("", "configmaps", live.pop(random.randrange(len(live))), "default")
        await asyncio.sleep(0.02)


async def test_verify_of_an_unknown_type_says_so(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        result = await hub.order("verify", types=["unicorns.example"])
        assert "unicorns.example" in result.error


async def test_relist_heals(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        spoil(hub)
        result = await hub.order("relist", types=["configmaps"])
        assert not result.error
        assert result.result == {"types": [{"type": "configmaps"}]}
        await hub.until(lambda: stored(hub, "configmaps") == versions(fleet["sim-1"], "", "configmaps"), 5, "healed")


async def test_the_proof_at_intervals_finds_and_heals(fleet: Fleet, hub: AgentHub) -> None:
    hub.digest_seconds = 2.0
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        spoil(hub)
        await hub.until(lambda: stored(hub, "configmaps") == versions(fleet["sim-1"], "", "configmaps"), 20, "healed")
        await hub.until(lambda: running.metrics.value("fleetpedia_digest_mismatch_total", type="configmaps") == 1, 5)


async def test_the_proof_does_not_cry_wolf_under_churn(fleet: Fleet, hub: AgentHub) -> None:
    hub.digest_seconds = 0.5
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        for number in range(150):
            member.create(config_map(f"wolf-{number}"))
            await asyncio.sleep(0.01)
        proofs = running.metrics.value("fleetpedia_resync_total", reason="digest")
        assert proofs > 10
        assert running.metrics.value("fleetpedia_digest_mismatch_total", type="configmaps") == 0
        await hub.until(lambda: stored(hub, "configmaps") == versions(member, "", "configmaps"), 10)


async def test_pause_stops_the_watches_and_resume_catches_up(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        hub.paused = True
        await hub.until(lambda: len(hub.hellos) == 2, 10)
        member.create(config_map("in-the-pause"))
        beats = len(hub.heartbeats)
        await hub.until(lambda: len(hub.heartbeats) > beats + 2, 10, "heartbeats go on")
        assert ("default", "in-the-pause") not in hub.rows("configmaps")
        hub.paused = False
        await hub.until(lambda: ("default", "in-the-pause") in hub.rows("configmaps"), 20)


async def test_reload_and_close(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        sent = hub.counts["object_bytes"]
        assert not (await hub.order("reload")).error
        await hub.until(lambda: len(hub.hellos) == 2 and running.ready, 20)
        assert hub.counts["object_bytes"] == sent
        assert not (await hub.order("close")).error
    assert len(hub.hellos) == 2


async def test_a_report_that_is_refused_does_not_stop_what_is_asked_next(fleet: Fleet, hub: AgentHub) -> None:
    def too_large() -> web.Response:
        return web.json_response({"reason": "RequestEntityTooLarge", "message": "too large"}, status=413)

    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        running._done.append(DirectiveResult(77, "", {"types": ["long"]}))
        hub.faults["directives"] = [too_large]
        await hub.until(lambda: 77 in hub.results, 30)
        assert "cannot be handed over" in hub.results[77].error
        assert not (await hub.order("relist", types=["configmaps"])).error


async def test_a_busy_aggregator_does_not_have_the_type_listed_again(fleet: Fleet, hub: AgentHub) -> None:
    def busy() -> web.Response:
        return web.json_response({"reason": "TooManyRequests", "message": "busy"}, status=429)

    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        spoil(hub)
        hub.faults["digest"] = [busy, busy]
        hub.faults["fingerprints"] = [busy]
        assert not (await hub.order("relist", types=["configmaps"])).error
        await hub.until(lambda: stored(hub, "configmaps") == versions(fleet["sim-1"], "", "configmaps"), 5, "healed")
        assert running.metrics.value("fleetpedia_resync_total", reason="relist") == 1
