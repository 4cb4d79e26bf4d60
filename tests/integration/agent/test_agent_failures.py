"""What goes wrong between agent, member and hub, and that nothing is lost by it."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from schema import wire
from simulator.faults import Fault
from simulator.fleet import Fleet
from tests.integration.agent.agents import agent, config_map, stored, versions
from tests.integration.agent_hub import AgentHub


def same(hub: AgentHub, fleet: Fleet, name: str = "configmaps", group: str = "") -> bool:
    return stored(hub, name) == versions(fleet["sim-1"], group, name.split(".")[0])


async def test_an_expired_version_is_a_comparison(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        sent = hub.counts["object_bytes"]
        member.create(config_map("while-away"))
        member.expire()
        member.cut_watches()
        await hub.until(lambda: same(hub, fleet), 20, "equal again")
        assert sum(running.metrics.value("fleetpedia_resync_total", reason=r) for r in ("expired", "out-of-sight")) > 0
        assert hub.counts["object_bytes"] - sent < 10_000


async def test_cut_watches_lose_nothing(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        for number in range(20):
            member.create(config_map(f"cut-{number}"))
            if number % 5 == 0:
                member.cut_watches()
            if number % 3 == 0:
                member.delete("", "configmaps", f"cut-{number}", "default")
        await hub.until(lambda: same(hub, fleet), 20, "equal")


async def test_delete_and_recreate_a_hundred_times(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        for number in range(100):
            member.create(config_map("phoenix", life=str(number)))
            if number % 7 == 0:
                await asyncio.sleep(0)
            if number < 99:
                member.delete("", "configmaps", "phoenix", "default")
        await hub.until(lambda: same(hub, fleet), 20, "equal")


async def test_lost_acks_repeat_the_same_batch(fleet: Fleet, hub: AgentHub) -> None:
    hub.lose_acks = 3
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 40)
        assert same(hub, fleet)
    assert len(hub.hellos) == 1


async def test_a_hub_that_is_away_costs_nothing(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        await hub.stop()
        for number in range(30):
            member.create(config_map(f"unheard-{number}"))
        member.delete("", "configmaps", "unheard-3", "default")
        await asyncio.sleep(0.3)
        await hub.start(hub.port)
        await hub.until(lambda: same(hub, fleet), 30, "equal")


async def test_a_gap_that_cannot_be_followed_opens_a_new_session(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        hub.acked = 0
        fleet["sim-1"].create(config_map("after-the-gap"))
        await hub.until(lambda: len(hub.hellos) == 2 and same(hub, fleet), 30, "a second session")


async def test_fenced_agents_stand_by(fleet: Fleet, hub: AgentHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.member.FENCED_SECONDS", 1.0)
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        hub.epoch += 1
        await hub.until(lambda: len(hub.hellos) == 2, 20, "it tries again")
        assert not running.trouble.startswith("no session")
        await hub.until(hub.in_sync, 20)


async def test_a_member_that_is_away_is_told(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        fleet.faults.begin(Fault("down", "sim-1"))
        await hub.until(lambda: hub.heartbeats[-1].message and hub.heartbeats[-1].member_seen > 1.0, 20, "away")
        fleet["sim-1"].create(config_map("meanwhile"))
        fleet.faults.clear()
        await hub.until(lambda: hub.heartbeats[-1].member_seen < 1.0 and same(hub, fleet), 20, "back")
        await hub.until(hub.in_sync, 20)


async def test_a_denied_type_says_so_and_the_others_go_on(fleet: Fleet, hub: AgentHub) -> None:
    fleet.faults.begin(Fault("forbidden", "sim-1", resource="secrets"))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(lambda: hub.rows("configmaps") and hub.named("secrets").state == "Denied", 30)
        assert "secrets" in hub.named("secrets").reason
        await hub.until(lambda: same(hub, fleet), 10)
        fleet.faults.clear()
        await hub.until(hub.in_sync, 30, "the right is back")
        assert hub.rows("secrets")


async def test_throttling_is_waited_out(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        fleet.faults.begin(Fault("throttle", "sim-1", lasts=2.0, seconds=1.0))
        fleet["sim-1"].cut_watches()
        fleet["sim-1"].create(config_map("later"))
        await hub.until(lambda: same(hub, fleet), 20)


async def test_a_stale_group_keeps_its_rows(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        before = stored(hub, "deployments.apps")
        fleet.faults.begin(Fault("stale_discovery", "sim-1", group="apps"))
        assert running._types is not None
        running._types._look.set()
        await hub.until(lambda: not hub.announces[-1].complete, 20, "announced as not complete")
        assert stored(hub, "deployments.apps") == before
        assert hub.named("deployments.apps").state == "Synced"


async def test_a_refused_batch_is_halved_until_the_bad_object_is_alone(fleet: Fleet, hub: AgentHub) -> None:
    fleet["sim-1"].create(config_map("poison"))

    def refuse(deltas: list[wire.Delta]) -> bool:
        return any(isinstance(delta, wire.Upsert) and delta.name == "poison" for delta in deltas)

    hub.refuse = refuse
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 40)
        held = hub.named("configmaps")
        assert ("default", "poison") in held.rejected
        assert set(held.rows) | {("default", "poison")} == set(versions(fleet["sim-1"], "", "configmaps"))


async def test_a_refused_credential_is_waited_out(fleet: Fleet, hub: AgentHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.member.REFUSED_SECONDS", 0.2)
    no = web.json_response({"reason": "Unauthorized", "message": "no such credential"}, status=401)
    hub.faults["session"] = [lambda: no]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)


@pytest.mark.parametrize("paused", [False, True])
async def test_a_member_that_nobody_watched_is_compared_before_it_is_believed(
    fleet: Fleet, hub: AgentHub, monkeypatch: pytest.MonkeyPatch, paused: bool
) -> None:
    """Without a Lease only sight vouches for it: out of sight between two sessions it may have been restored."""
    monkeypatch.setattr("agent.member.SIGHT_SECONDS", 60.0 if paused else 0.5)
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        hub.policy_generation += 1
        if paused:
            hub.paused = True
            await hub.until(lambda: len(hub.hellos) == 2, 10)
            hub.paused = False
        else:
            fleet.faults.begin(Fault("down", "sim-1"))
            await hub.until(lambda: hub.troubles, 20, "the session ended while the member was away")
            await asyncio.sleep(0.6)
            fleet.faults.clear()
        sessions = 3 if paused else 2
        await hub.until(lambda: len(hub.hellos) == sessions and running.ready, 20, "a new session")
        assert running._types is not None
        compared = running.metrics.value("fleetpedia_resync_total", reason="no-lease")
        assert compared == len(running._types.reflectors)


async def test_a_watch_that_broke_is_doubted_by_the_next_session_too(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        assert running._types is not None
        reflectors = running._types.reflectors
        for reflector in reflectors:
            reflector._doubtful(0.0)
        before = running.metrics.value("fleetpedia_resync_total", reason="no-lease")
        assert not (await hub.order("reload")).error
        await hub.until(lambda: len(hub.hellos) == 2 and running.ready, 20)
        assert running.metrics.value("fleetpedia_resync_total", reason="no-lease") == before + len(reflectors)


async def test_a_proxys_bad_request_sets_no_object_aside(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        hub.faults["push"] = [
            lambda: web.Response(status=400, text="<html>Bad Request</html>"),
            lambda: web.Response(status=200, text="<html>Please log in</html>"),
        ] * 2
        fleet["sim-1"].create(config_map("behind-the-proxy"))
        await hub.until(lambda: not hub.faults["push"] and same(hub, fleet), 20, "stored")
        assert ("default", "behind-the-proxy") in hub.rows("configmaps")
        assert len(hub.hellos) == 1


async def test_an_event_that_is_too_long_is_gone_past_by_a_list(
    fleet: Fleet, hub: AgentHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(hub.in_sync, 30)
        monkeypatch.setattr("agent.kube.MAX_EVENT_BYTES", 20_000)
        assert running._types is not None
        [reflector] = running._types.named(["configmaps"])
        since = reflector._watch_since
        fleet["sim-1"].cut_watches()
        await hub.until(lambda: reflector._watch_since > since and reflector.status.lag == 0, 10, "watched anew")
        fleet["sim-1"].create(config_map("long", data="x" * 50_000))
        await hub.until(lambda: ("default", "long") in hub.rows("configmaps"), 20, "the long one")
        fleet["sim-1"].create(config_map("short"))
        await hub.until(lambda: ("default", "short") in hub.rows("configmaps"), 20, "the watch goes on")
        assert running.metrics.value("fleetpedia_resync_total", reason="oversized") == 1
