"""The index is the union of the members' own answers, object by object and cell by cell."""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.api import Api
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.client import TABLE
from tests.e2e.comparing import (
    Type,
    comparable,
    differences,
    index_objects,
    key_of,
    member_objects,
    synced_types,
    table_differences,
    without_cluster,
)
from tests.e2e.fleet import Fleet, fleet_of
from tests.e2e.world import MANY, many_pods

PODS = int(os.environ.get("FLEETPEDIA_E2E_PODS", "2000"))
NODES = 20
TwoPlanes = tuple[ControlPlane, ControlPlane]


@pytest.fixture(scope="module")
def full(world: Fleet, two_planes: TwoPlanes) -> Fleet:
    """Both members with 20 nodes, `PODS` pods and something of every type that is printed, all at rest."""
    began = time.monotonic()
    for plane in two_planes:
        plane.create_nodes(NODES - 5, prefix="more")
        many_pods(plane, PODS)
    for plane in two_planes:
        wait_until(partial(all_run, plane.api), f"{PODS} pods run", timeout=240, explain=plane.explain)
    print(f"two members with {NODES} nodes and {PODS} pods each after {time.monotonic() - began:.1f} s")
    return world


def all_run(api: Api) -> bool:
    total = 0
    for number in range(MANY):
        status = api.get(f"/apis/apps/v1/namespaces/many/deployments/many-{number}")["status"]
        total += status.get("availableReplicas", 0)
    return total >= PODS


def counts_nodes(fleet: Fleet, cluster: str) -> bool:
    return bool(fleet.cluster(cluster)["nodes"] == NODES)


def until_equal(compare: Any, what: str, seconds: float = 15) -> None:
    """A member never rests wholly: what differs is read again, and only what stays different counts."""
    deadline = time.monotonic() + seconds
    while found := compare():
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: {len(found)} differences\n" + "\n".join(found[:20]))
        time.sleep(0.3)


def test_every_synced_type_equals_what_each_member_answers(full: Fleet, two_planes: TwoPlanes) -> None:
    for plane in two_planes:
        objects = 0
        for type in synced_types(plane.api):

            def compare(type: Type = type, plane: ControlPlane = plane) -> list[str]:
                nonlocal objects
                member = member_objects(plane.api, type)
                index = index_objects(full.client, type, plane.name)
                if type.name == "events":  # traps 20: the member expires them, we need not be so quick
                    index = {key: item for key, item in index.items() if key in member}
                objects += len(member)
                return differences(member, index)

            until_equal(compare, f"{plane.name} {type.name}")
        print(f"{plane.name}: {objects} objects equal")
        assert objects >= PODS


def test_a_list_over_all_clusters_is_the_sum_of_both_without_gap_or_repeat(full: Fleet, two_planes: TwoPlanes) -> None:
    pods = [
        (item["metadata"]["annotations"]["fleetpedia.io/cluster"], *key_of(item))
        for item in full.client.pages("/fleet/api/v1/namespaces/many/pods", limit=333)
    ]
    assert len(pods) == len(set(pods))
    expected = {
        (plane.name, *key_of(item))
        for plane in two_planes
        for item in plane.api.get("/api/v1/namespaces/many/pods")["items"]
    }
    assert set(pods) == expected
    ordered = [(namespace, name, cluster) for cluster, namespace, name in pods]
    assert ordered == sorted(ordered)


def test_every_table_equals_the_members_own_plus_cluster(full: Fleet, two_planes: TwoPlanes) -> None:
    for plane in two_planes:
        for type in synced_types(plane.api):

            def compare(type: Type = type, plane: ControlPlane = plane) -> list[str]:
                member = json.loads(plane.api.text("GET", type.path, accept=TABLE, timeout=60))
                index = full.client.table(f"/fleet/clusters/{plane.name}{type.path}")
                ours = without_cluster(index, plane.name)
                if type.name == "events":
                    known = {key_of(row["object"]) for row in member["rows"] or ()}
                    ours["rows"] = [row for row in ours["rows"] if key_of(row["object"]) in known]
                return table_differences(member, ours)

            until_equal(compare, f"Table of {plane.name} {type.name}")


def test_the_table_of_all_clusters_names_the_cluster_of_every_row(full: Fleet, two_planes: TwoPlanes) -> None:
    table = full.client.table("/fleet/api/v1/nodes")
    assert table["columnDefinitions"][0]["name"].upper() == "CLUSTER"
    rows = {(row["cells"][0], row["cells"][1]) for row in table["rows"]}
    expected = {
        (plane.name, item["metadata"]["name"])
        for plane in two_planes
        for item in plane.api.get("/api/v1/nodes")["items"]
    }
    assert rows == expected


def test_counts_and_facts_of_a_cluster_are_the_members(full: Fleet, two_planes: TwoPlanes) -> None:
    for plane in two_planes:
        pods = len(member_objects(plane.api, Type("", "v1", "pods", "Pod", True)))
        counted = full.client.get("/api/v1/search", q=f"kind:pod cluster:{plane.name}", limit=1, count="exact")["count"]
        assert counted == {"value": pods, "exact": True}
        assert full.types(plane.name)["pods"]["count"] == pods
        full.wait_until(partial(counts_nodes, full, plane.name), "the heartbeat counts the nodes")


def test_an_object_is_served_byte_for_byte_but_for_what_is_ours(full: Fleet, two_planes: TwoPlanes) -> None:
    plane = two_planes[0]
    pod = plane.api.get("/api/v1/namespaces/many/pods?limit=1")["items"][0]
    name = pod["metadata"]["name"]
    served = full.client.get(f"/fleet/clusters/{plane.name}/api/v1/namespaces/many/pods/{name}")
    type = Type("", "v1", "pods", "Pod", True)
    assert comparable(served, type) == comparable(pod, type)
    annotations = served["metadata"]["annotations"]
    assert annotations["fleetpedia.io/cluster"] == annotations["shadow.clusterpedia.io/cluster-name"] == plane.name
    assert annotations["fleetpedia.io/resource-version"] == pod["metadata"]["resourceVersion"]
    version = served["metadata"]["resourceVersion"]
    assert version.isdecimal()
    assert not version.startswith("0")


def test_verify_agrees_object_by_object(full: Fleet, two_planes: TwoPlanes) -> None:
    report = full.verify(timeout=180)
    assert {entry["name"] for entry in report["clusters"]} == {"c1", "c2"}
    for plane in two_planes:
        [pods] = [e for e in report["clusters"] if e["name"] == plane.name and e["type"] == "pods"]
        assert pods["member"] == pods["store"] >= PODS
        assert pods["missing"] == pods["ghost"] == pods["different"] == []


def test_a_new_installation_lists_what_is_there_and_is_equal(
    full: Fleet, two_planes: TwoPlanes, two_planes_kubeconfig: Path
) -> None:
    """What came through watches above comes through first lists here."""
    with fleet_of(two_planes_kubeconfig, "c1", "c2") as other:
        report = other.verify(timeout=180)
        pods = [entry["store"] for entry in report["clusters"] if entry["type"] == "pods"]
        assert len(pods) == 2
        assert min(pods) >= PODS


def test_verify_finds_a_row_that_was_deleted_by_hand_and_repairs_it(full: Fleet) -> None:
    """Without this a verify that always says "equal" would pass everything else."""
    [(cluster, type, name)] = full.sql(
        "select c.id, t.id, o.name from fleet.object o join fleet.cluster c on c.id = o.cluster_id "
        "join fleet.resource_type t on t.id = o.type_id "
        "where c.name = 'c1' and t.resource = 'pods' and o.namespace = 'many' order by o.name limit 1"
    )
    full.sql("delete from fleet.object where cluster_id = $1 and type_id = $2 and name = $3", cluster, type, name)
    found = full.run("verify", "--cluster", "c1", "--type", "pods", "-o", "json", ok=(1,), timeout=120).json()
    assert found["equal"] is False
    [pods] = [entry for entry in found["clusters"] if entry["type"] == "pods"]
    assert pods["missing"] == [f"many/{name}"]
    full.run("verify", "--cluster", "c1", "--type", "pods", "--repair", ok=(0, 1), timeout=120)
    full.verify("--cluster", "c1", "--type", "pods")
