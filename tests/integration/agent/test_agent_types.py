"""Types that come, change, go and are left out; secrets; odd objects."""

from __future__ import annotations

import base64
import logging
from typing import Any

import msgspec
import pytest
import zstandard

from schema.policy import Policy, Rule
from schema.resource import ResourceType
from simulator.faults import Fault
from simulator.fleet import Fleet
from tests.integration.agent.agents import agent, config_map, stored, versions
from tests.integration.agent_hub import AgentHub, TypeRows

CANARY = "c4n4ry-b1rd-9f3"


def crd(columns: list[dict[str, Any]] | None = None, version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "rockets.space.example"},
        "spec": {
            "group": "space.example",
            "scope": "Namespaced",
            "names": {"plural": "rockets", "singular": "rocket", "kind": "Rocket", "shortNames": ["rk"]},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
                    **({"additionalPrinterColumns": columns} if columns else {}),
                    "selectableFields": [{"jsonPath": ".spec.color"}],
                }
            ],
        },
    }


def rocket(name: str, version: str = "v1") -> dict[str, Any]:
    return {
        "apiVersion": f"space.example/{version}",
        "kind": "Rocket",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"color": "red", "stages": 2},
    }


async def test_a_crd_is_followed_from_its_coming_to_its_going(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        others = {held.type.name: held.resource_version for held in hub.types.values()}
        member.create(crd())
        member.create(rocket("ariane"))
        await hub.until(lambda: ("default", "ariane") in hub.rows("rockets.space.example"), 5, "the first rocket")
        row = hub.rows("rockets.space.example")["default", "ariane"]
        assert row.fields == ["spec.color=red"]

        stages = {"name": "Stages", "type": "integer", "jsonPath": ".spec.stages"}
        changed = crd([stages])
        member.update(changed)
        await hub.until(lambda: hub.rows("rockets.space.example")["default", "ariane"].cells != row.cells, 5, "columns")
        assert hub.named("rockets.space.example").type.columns is not None

        member.delete("apiextensions.k8s.io", "customresourcedefinitions", "rockets.space.example")
        gone = next(held for held in hub.types.values() if held.type.resource == "rockets")
        await hub.until(lambda: gone.state == "Gone", 5, "gone")
        assert "CustomResourceDefinition" in gone.reason
        assert {name for name in others} == {held.type.name for held in hub.types.values() if not held.gone}
        assert sum(len(announce.types) for announce in hub.announces[-1:]) == len(others)


async def test_a_crd_comes_back_after_it_was_gone(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        for life in range(2):
            member.create(crd())
            member.create(rocket(f"life-{life}"))
            await hub.until(lambda: len(hub.rows("rockets.space.example")) == 1, 5, f"life {life}")
            member.delete("space.example", "rockets", f"life-{life}", "default")
            member.delete("apiextensions.k8s.io", "customresourcedefinitions", "rockets.space.example")
            await hub.until(lambda: not hub.rows("rockets.space.example"), 5)


async def test_what_was_in_flight_when_the_columns_changed_leaves_no_ghost(fleet: Fleet, hub: AgentHub) -> None:
    """The store is empty when the new shape is announced, and not any more when the type begins anew."""
    member = fleet["sim-1"]
    member.create(crd())
    key = ("space.example", "v1", "rockets")
    async with agent(hub, fleet.kubeconfig) as running:
        await hub.until(lambda: hub.in_sync() and hub.named("rockets.space.example").state == "Synced", 30)
        types = running._types
        assert types is not None
        reflector = types.running[key].reflector
        hub.gate.clear()
        member.create(rocket("ariane"))
        await hub.until(lambda: types._session.buffer._flying[reflector.id] == 1, 5, "in flight")
        member.update(crd([{"name": "Stages", "type": "integer", "jsonPath": ".spec.stages"}]))
        await hub.until(lambda: key not in types.running, 20, "the old reflector has ended")
        member.delete("space.example", "rockets", "ariane", "default")
        hub.gate.set()
        await hub.until(lambda: key in types.running and types.running[key].reflector.status.state == "Synced", 10)
        await hub.until(lambda: not hub.rows("rockets.space.example"), 5, "no ghost")


async def test_a_type_that_went_unseen_is_swept_though_another_group_fails(
    fleet: Fleet, hub: AgentHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
    monkeypatch.setattr("agent.types.ABSENT_SECONDS", 0.3)
    monkeypatch.setattr("agent.types.IDLE_SECONDS", 0.3)
    ghosts = TypeRows(ResourceType("old.io", "v1", "ghosts", "Ghost", True), resource_version="1", state="Synced")
    hub.types[1000] = ghosts
    fleet.faults.begin(Fault("stale_discovery", "sim-1", group="apps"))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(lambda: ghosts.gone, 20, "swept")
        assert not hub.announces[-1].complete
        assert not hub.named("deployments.apps").gone


async def test_another_version_of_a_type_takes_its_place(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    member.create(crd(version="v1alpha1"))
    member.create(rocket("ariane", "v1alpha1"))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        member.update(crd(version="v1"))
        await hub.until(lambda: ("default", "ariane") in hub.rows("rockets.space.example"), 5)
        await hub.until(lambda: any(held.gone and "v1" in held.reason for held in hub.types.values()), 5)
        assert hub.named("rockets.space.example").type.version == "v1"


async def test_the_policy_leaves_types_namespaces_and_labels_out(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    hub.policy = Policy(
        include=(Rule(groups=("",), resources=("configmaps",), namespaces=("kube-*", "default")),),
        exclude=(Rule(resources=("configmaps",), labels="private"),),
    )
    member.create(config_map("shown"))
    hidden = config_map("hidden")
    hidden["metadata"]["labels"] = {"private": "yes"}
    member.create(hidden)
    async with agent(hub, fleet.kubeconfig):
        await hub.until(lambda: hub.types and hub.in_sync(), 30)
        assert {held.type.name for held in hub.types.values()} == {"configmaps"}
        assert all(space == "default" or space.startswith("kube-") for space, _ in hub.rows("configmaps"))
        assert ("default", "shown") in hub.rows("configmaps")
        assert ("default", "hidden") not in hub.rows("configmaps")
        excluded = {gone.resource: gone.reason for gone in hub.announces[-1].gone}
        assert "sync policy" in excluded["pods"]

        shown = config_map("shown")
        shown["metadata"]["labels"] = {"private": "yes"}
        member.update(shown)
        await hub.until(lambda: ("default", "shown") not in hub.rows("configmaps"), 5, "it left the selection")


async def test_a_changed_policy_is_obeyed(fleet: Fleet, hub: AgentHub) -> None:
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        hub.policy = Policy(exclude=(Rule(resources=("secrets",)),))
        hub.policy_generation += 1
        sent = hub.counts["object_bytes"]
        await hub.until(lambda: not hub.rows("secrets") and len(hub.hellos) == 2, 20, "secrets are swept")
        await hub.until(hub.in_sync, 20)
        leases = stored(hub, "leases.coordination.k8s.io")
        assert leases == versions(fleet["sim-1"], "coordination.k8s.io", "leases")
        assert hub.counts["object_bytes"] - sent < 200_000, "what did not change was not sent again"


async def test_no_secret_value_leaves_the_member(fleet: Fleet, hub: AgentHub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    member = fleet["sim-1"]
    value = base64.b64encode(CANARY.encode()).decode()
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "canary",
            "namespace": "default",
            "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": f'{{"stringData":{{"key":"{CANARY}"}}}}',
                "kept": "yes",
            },
        },
        "type": "Opaque",
        "data": {"key": value, "other": value},
    }
    member.create(secret)
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        body = zstandard.decompress(hub.rows("secrets")["default", "canary"].body)
        held = msgspec.json.decode(body)
        assert held["data"] == {"key": "", "other": ""}
        assert held["metadata"]["annotations"] == {"kept": "yes"}
        changed = {**secret, "data": {"key": value}}
        member.update(changed)
        await hub.until(lambda: hub.rows("secrets")["default", "canary"].size != len(body), 5)
    seen = [zstandard.decompress(data) for data in hub.wire_bytes]
    seen += [zstandard.decompress(row.body) for held in hub.types.values() for row in held.rows.values()]
    for text in (CANARY.encode(), value.encode()):
        assert all(text not in data for data in seen)
        assert text.decode() not in caplog.text


async def test_an_object_that_is_too_large_is_set_aside_with_its_reason(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    member.create(config_map("whale", blubber="x" * (4 * 1024 * 1024)))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        held = hub.named("configmaps")
        assert "more than 3145728" in held.rejected["default", "whale"].reason
        assert ("default", "whale") not in held.rows
        member.update(config_map("whale", blubber="thin"))
        await hub.until(lambda: ("default", "whale") in held.rows and not held.rejected, 5, "it fits now")
        member.update(config_map("whale", blubber="x" * (4 * 1024 * 1024)))
        await hub.until(lambda: ("default", "whale") in held.rejected, 10, "too large in a watch")


async def test_many_large_objects_come_in_smaller_pages(fleet: Fleet, hub: AgentHub) -> None:
    member = fleet["sim-1"]
    for number in range(30):
        member.create(config_map(f"heavy-{number}", weight="y" * 1_000_000))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 40)
        assert stored(hub, "configmaps") == versions(member, "", "configmaps")


async def test_nul_is_kept_and_marked(fleet: Fleet, hub: AgentHub) -> None:
    fleet["sim-1"].create(config_map("nul", text="a\x00b"))
    async with agent(hub, fleet.kubeconfig):
        await hub.until(hub.in_sync, 30)
        row = hub.rows("configmaps")["default", "nul"]
        assert row.lossy
        assert b"a\\u0000b" in zstandard.decompress(row.body)
        assert not hub.rows("configmaps")["default", "kube-root-ca.crt"].lossy
