"""First sync, watch and restart of the agent against a simulated member."""

from __future__ import annotations

from simulator.fleet import Fleet
from tests.integration.agent.agents import agent, config_map, stored, versions
from tests.integration.agent_hub import AgentHub


async def test_all_types_reach_the_store(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30, "in sync")
        for held in hub.types.values():
            expected = versions(member, held.type.group, held.type.resource)
            assert stored(hub, held.type.name) == expected, held.type.name
    names = {held.type.name for held in hub.types.values()}
    assert {"pods", "deployments.apps", "nodes", "secrets", "customresourcedefinitions.apiextensions.k8s.io"} <= names
    assert "leases.coordination.k8s.io" not in names
    assert "events.events.k8s.io" not in names


async def test_changes_follow(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30, "in sync")
        member.create(config_map("fresh", color="blue"))
        await hub.until(lambda: ("default", "fresh") in hub.rows("configmaps"), 5, "created")
        first = hub.rows("configmaps")["default", "fresh"]
        member.update(config_map("fresh", color="red"))
        await hub.until(lambda: hub.rows("configmaps")["default", "fresh"].body != first.body, 5, "updated")
        member.delete("", "configmaps", "fresh", "default")
        await hub.until(lambda: ("default", "fresh") not in hub.rows("configmaps"), 5, "deleted")


async def test_a_restart_moves_no_object(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30, "in sync")
    before = hub.counts["object_bytes"]
    beats = len(hub.heartbeats)
    async with agent(hub, fleet.kubeconfig) as member:
        await hub.until(lambda: len(hub.heartbeats) > beats and member.ready and hub.in_sync(), 30, "in sync again")
    assert hub.counts["object_bytes"] == before


async def test_a_delete_while_the_agent_is_dead_leaves_no_ghost(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    member.create(config_map("doomed"))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30, "in sync")
    member.delete("", "configmaps", "doomed", "default")
    member.create(config_map("born"))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(lambda: ("default", "born") in hub.rows("configmaps"), 20)
        await hub.until(lambda: ("default", "doomed") not in hub.rows("configmaps"), 20)
    assert stored(hub, "configmaps") == versions(member, "", "configmaps")
