"""kill -9 of every process in turn, during churn: nothing is lost, nothing haunts, nothing is sent twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.components import API_SERVER
from tests.controlplane.plane import ControlPlane
from tests.e2e.comparing import Type, differences, index_objects, member_objects
from tests.e2e.fleet import Fleet, Rough
from tests.e2e.member import Churn, config_map, quiet_pod

CONFIG_MAPS = Type("", "v1", "configmaps", "ConfigMap", True)
REPLACED_WITHIN = 5.0
# What ends each of them in order; SIGTERM has a postmaster wait for its clients to go.
POLITE = {"agent-k1": signal.SIGTERM, "aggregator": signal.SIGTERM, "postgres": signal.SIGINT}
OURS = ("agent-k1", "aggregator", "postgres")


@pytest.fixture
def place(rough: Rough, namespace: str) -> str:
    """A namespace in `k1` with 300 quiet objects, all in the index."""
    name = f"crash-{namespace}"
    plane = rough.planes[0]
    plane.create_namespace(name)
    for number in range(100):
        plane.api.create(f"/api/v1/namespaces/{name}/configmaps", config_map(f"still-{number}", {"big": "x" * 2000}))
        plane.api.create(f"/api/v1/namespaces/{name}/pods", quiet_pod(f"still-{number}", app="still"))
        plane.api.create(
            f"/api/v1/namespaces/{name}/secrets", {"metadata": {"name": f"s-{number}"}, "stringData": {"a": "b"}}
        )
    rough.fleet.wait_until(lambda: len(rough.fleet.search(f"ns:{name} name:s-*", limit=200)) == 100, "all are there")
    rough.fleet.verify()
    return name


@pytest.fixture
def churn(rough: Rough, place: str) -> Iterator[Churn]:
    with Churn(rough.planes[0], place) as running:
        running.wait_made(20)
        yield running


def kill_and_replace(fleet: Fleet, role: str) -> None:
    old = fleet.kill9(role)
    began = time.monotonic()
    fleet.wait_replaced(role, old, timeout=REPLACED_WITHIN)
    print(f"{role} replaced after {time.monotonic() - began:.1f} s")


def assert_equal(fleet: Fleet, plane: ControlPlane) -> None:
    """verify says so, and so does a comparison that is not verify's."""
    fleet.verify(timeout=120)
    member, index = member_objects(plane.api, CONFIG_MAPS), index_objects(fleet.client, CONFIG_MAPS, plane.name)
    assert differences(member, index) == []


@pytest.mark.parametrize("role", OURS)
def test_after_kill_9_during_churn_everything_is_equal(rough: Rough, churn: Churn, role: str) -> None:
    kill_and_replace(rough.fleet, role)
    churn.wait_made(60)
    churn.stop()
    assert_equal(rough.fleet, rough.planes[0])


def test_three_kills_in_a_row_of_each_of_ours_during_churn(rough: Rough, churn: Churn) -> None:
    for role in OURS:
        for _ in range(2):
            kill_and_replace(rough.fleet, role)
            churn.wait_made(15)
    churn.stop()
    assert_equal(rough.fleet, rough.planes[0])


def test_after_kill_9_of_the_api_server_during_churn_everything_is_equal(rough: Rough, churn: Churn) -> None:
    plane = rough.planes[0]
    failed = churn.failed
    plane.kill(API_SERVER)
    rough.fleet.wait_until(lambda: churn.failed > failed, "the churn feels it")
    plane.start(API_SERVER)
    churn.wait_made(60)
    churn.stop()
    assert_equal(rough.fleet, plane)


def test_verify_during_churn_says_equal(rough: Rough, churn: Churn) -> None:
    made = churn.made
    rough.fleet.verify("--cluster", "k1")
    assert churn.made > made, "there was no churn while it verified"


def test_a_delete_made_while_the_agent_is_dead_is_no_ghost(rough: Rough, place: str) -> None:
    fleet, plane = rough.fleet, rough.planes[0]
    path = f"/api/v1/namespaces/{place}"
    old = fleet.kill9("agent-k1")
    plane.api.delete(f"{path}/configmaps/still-1")
    plane.api.delete(f"{path}/pods/still-2?gracePeriodSeconds=0")
    plane.api.delete(f"{path}/secrets/s-3")
    plane.api.create(f"{path}/secrets", {"metadata": {"name": "s-3"}, "stringData": {"other": "life"}})
    plane.api.create(f"{path}/configmaps", config_map("made-meanwhile"))
    assert not _replaced(fleet, old), "the agent was back too early for this test to show anything"
    fleet.wait_replaced("agent-k1", old, timeout=REPLACED_WITHIN)
    assert_equal(fleet, plane)
    assert fleet.search(f"ns:{place} kind:configmap name:still-1") == []
    assert fleet.search(f"ns:{place} kind:pod name:still-2") == []
    assert len(fleet.search(f"ns:{place} kind:configmap name:made-meanwhile")) == 1
    [secret] = fleet.search(f"ns:{place} kind:secret name:s-3")
    assert secret["uid"] == plane.api.get(f"{path}/secrets/s-3")["metadata"]["uid"]


def _replaced(fleet: Fleet, old: int) -> bool:
    try:
        return fleet.pid("agent-k1") != old
    except (FileNotFoundError, ValueError):
        return False


@pytest.mark.parametrize("how", ["kill", "stop"])
@pytest.mark.parametrize("role", OURS)
def test_a_restart_writes_no_row_and_moves_no_object_bytes(rough: Rough, place: str, role: str, how: str) -> None:
    """Rows are told apart by their physical place, so a rewrite with equal content would show as well."""
    fleet = rough.fleet
    before = physical(fleet, place)
    rows, size = moved(fleet, "rows_written"), moved(fleet, "object_bytes_received")
    epochs = sessions(fleet)
    old = fleet.pid(role)
    os.kill(old, signal.SIGKILL if how == "kill" else POLITE[role])
    fleet.wait_replaced(role, old, timeout=REPLACED_WITHIN if how == "kill" else 15)
    if role == "agent-k1":
        fleet.wait_until(lambda: sessions(fleet)["k1"] > epochs["k1"], "the agent's new session")
    fleet.wait_until(lambda: fleet.client.ask("/readyz").status == 200, "the aggregator serves")
    fleet.verify()
    if role == "aggregator":  # its counters began anew
        rows = size = 0
    assert physical(fleet, place) == before
    assert moved(fleet, "rows_written") - rows == 0
    assert moved(fleet, "object_bytes_received") - size == 0


def moved(fleet: Fleet, what: str) -> float:
    return fleet.metric(f"fleetpedia_{what}_total", cluster="k1")


def physical(fleet: Fleet, namespace: str) -> list[tuple[Any, ...]]:
    return fleet.sql(
        "select o.type_id, o.name, o.ctid::text, o.xmin::text, o.cursor from fleet.object o "
        "where o.namespace = $1 order by 1, 2",
        namespace,
    )


def sessions(fleet: Fleet) -> dict[str, int]:
    rows = fleet.sql("select c.name, s.epoch from fleet.session s join fleet.cluster c on c.id = s.cluster_id")
    return {name: epoch for name, epoch in rows}


def test_the_other_member_never_noticed(rough: Rough) -> None:
    assert rough.fleet.cluster("k2")["phase"] == "Ready"
    assert rough.fleet.metric("fleetpedia_digest_mismatch_total", cluster="k2") == 0
    rough.fleet.verify("--cluster", "k2")
