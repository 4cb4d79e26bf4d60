"""What changes in a member is in the index at once, and nothing else is touched by it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.controlplane.plane import ControlPlane
from tests.e2e.comparing import Type, differences, index_objects, member_objects
from tests.e2e.fleet import Fleet
from tests.e2e.member import (
    CRDS,
    MemberWatch,
    Seen,
    config_map,
    definition,
    gone,
    install,
    latency,
    wait_served,
    watching,
)

WITHIN = 1.0
"""Seconds after the member's own watch shows a change."""
TYPE_WITHIN = 5.0
"""Seconds after the member's discovery shows a type, or shows it no more."""
CONFIG_MAPS = Type("", "v1", "configmaps", "ConfigMap", True)


class Place:
    """A namespace of the test's own in the first member, and what the index says of its ConfigMaps."""

    def __init__(self, fleet: Fleet, plane: ControlPlane, namespace: str) -> None:
        self.fleet = fleet
        self.plane = plane
        self.namespace = namespace
        self.path = f"/api/v1/namespaces/{namespace}/configmaps"
        self.served = f"/fleet/clusters/{plane.name}{self.path}"

    def found(self, query: str) -> list[dict[str, Any]]:
        return self.fleet.search(f"kind:configmap ns:{self.namespace} {query}", limit=50)

    def names(self, query: str = "") -> set[str]:
        return {item["name"] for item in self.found(query)}

    def data(self, name: str) -> dict[str, str] | None:
        answer = self.fleet.client.ask(f"{self.served}/{name}")
        return answer.json().get("data") if answer.status == 200 else None


@pytest.fixture
def place(fleet: Fleet, two_planes: tuple[ControlPlane, ControlPlane], namespace: str) -> Place:
    plane = two_planes[0]
    plane.create_namespace(namespace)
    place = Place(fleet, plane, namespace)
    fleet.wait_until(lambda: place.names("kube-root-ca.crt"), "the namespace is in the index")
    return place


@pytest.fixture
def watch(place: Place) -> Iterator[MemberWatch]:
    with watching(place.plane, place.path) as running:
        yield running


def test_a_created_object_is_found_within_a_second(place: Place, watch: MemberWatch) -> None:
    for number in range(5):
        name = f"made-{number}"
        place.plane.api.create(place.path, config_map(name, app="new"))
        seen = watch.wait(lambda event, name=name: event.name == name, name)  # type: ignore[misc]
        latency(seen, lambda: name in place.names("app=new"), "create", limit=WITHIN)  # noqa: B023
        assert place.data(name) == {"key": "value"}


def test_a_change_is_served_within_a_second(place: Place, watch: MemberWatch) -> None:
    place.plane.api.create(place.path, config_map("one"))
    place.plane.api.patch(f"{place.path}/one", {"data": {"key": "changed"}})
    seen = watch.wait(lambda event: event.type == "MODIFIED", "the change")
    latency(seen, lambda: place.data("one") == {"key": "changed"}, "change", limit=WITHIN)
    assert len(place.found("name:one")) == 1


def test_a_deleted_object_is_gone_within_a_second(place: Place, watch: MemberWatch) -> None:
    place.plane.api.create(place.path, config_map("short"))
    place.fleet.wait_until(lambda: place.data("short"), "it is there")
    place.plane.api.delete(f"{place.path}/short")
    seen = watch.wait(lambda event: event.type == "DELETED", "the delete")
    latency(seen, lambda: place.data("short") is None, "delete", limit=WITHIN)
    assert "short" not in place.names()


def test_a_label_change_moves_an_object_between_selections_within_a_second(place: Place, watch: MemberWatch) -> None:
    place.plane.api.create(place.path, config_map("moving", app="before", kept="yes"))
    place.fleet.wait_until(lambda: place.names("app=before"), "it is found by its first label")
    place.plane.api.patch(f"{place.path}/moving", {"metadata": {"labels": {"app": "after", "kept": None}}})
    seen = watch.wait(lambda event: event.type == "MODIFIED", "the label change")
    latency(seen, lambda: place.names("app=after") == {"moving"}, "label change", limit=WITHIN)
    assert place.names("app=before") == set()
    assert place.names("kept=yes") == set()
    assert place.names("app=after -kept=yes") == {"moving"}


def test_delete_and_recreate_100_times_at_full_speed_ends_in_the_last_one(place: Place, watch: MemberWatch) -> None:
    api = place.plane.api
    began = time.monotonic()
    last = ""
    for number in range(100):
        made = api.create(place.path, config_map("phoenix", {"life": str(number)}))
        last = made["metadata"]["uid"]
        if number < 99:
            api.delete(f"{place.path}/phoenix")
    print(f"100 lives in {time.monotonic() - began:.2f} s")
    seen = watch.wait(lambda event: event.object["metadata"]["uid"] == last, "the last life")

    def is_last() -> bool:
        items = place.found("name:phoenix")
        return [item["uid"] for item in items] == [last]

    latency(seen, is_last, "100 times deleted and created", limit=WITHIN)
    assert place.data("phoenix") == {"life": "99"}
    api.delete(f"{place.path}/phoenix")
    seen = watch.wait(lambda event: event.type == "DELETED" and event.object["metadata"]["uid"] == last, "the end")
    latency(seen, lambda: not place.found("name:phoenix"), "the last delete", limit=WITHIN)


def test_a_watch_of_ours_shows_recreation_in_order(place: Place) -> None:
    """Every ADDED of a uid comes before its DELETED, versions only rise, and no two lives overlap."""
    client = place.fleet.client
    version = client.get(place.served)["metadata"]["resourceVersion"]
    uids = []
    for number in range(20):
        made = place.plane.api.create(place.path, config_map("phoenix", {"life": str(number)}))
        uids.append(made["metadata"]["uid"])
        place.plane.api.delete(f"{place.path}/phoenix")
    events = []
    with client.stream(place.served, watch="true", resourceVersion=version, timeoutSeconds=20) as lines:
        for line in lines:
            event = json.loads(line)
            assert event["type"] != "ERROR", event
            events.append(
                (event["type"], event["object"]["metadata"]["uid"], event["object"]["metadata"]["resourceVersion"])
            )
            if events[-1][:2] == ("DELETED", uids[-1]):
                break
    versions = [int(version) for _, _, version in events]
    assert versions == sorted(set(versions))
    alive: str | None = None
    for type, uid, _ in events:
        if type == "ADDED":
            assert alive is None
            alive = uid
        elif type == "DELETED":
            # Who was gone before it could be shown has a DELETED only.
            assert alive in (None, uid)
            alive = None
    order = [uid for type, uid, _ in events if type == "ADDED"]
    assert order == [uid for uid in uids if uid in order]


def test_the_deletion_of_a_namespace_empties_it_within_a_second(place: Place) -> None:
    for number in range(50):
        place.plane.api.create(place.path, config_map(f"content-{number}"))
    place.fleet.wait_until(lambda: len(place.names("name:content-*")) == 50, "all are there")
    namespaces = "/api/v1/namespaces"
    with watching(place.plane, namespaces) as watch:
        place.plane.api.delete(f"{namespaces}/{place.namespace}")
        seen = watch.wait(
            lambda event: event.type == "DELETED" and event.name == place.namespace, "the namespace go", timeout=60
        )

    def empty() -> bool:
        return not place.names() and not place.fleet.search(f"kind:namespace name:{place.namespace}")

    latency(seen, empty, "namespace deletion", limit=WITHIN)
    assert place.fleet.search(f"ns:{place.namespace}") == []


# -- types that come and go -----------------------------------------------------------------------------------------
def others(fleet: Fleet, cluster: str, plural: str) -> tuple[Any, ...]:
    """What must not move when one type does: session, rows of quiet types, states of all other types."""
    session = fleet.sql(
        "select s.epoch from fleet.session s join fleet.cluster c on c.id = s.cluster_id where c.name = $1", cluster
    )
    rows = fleet.sql(
        "select t.resource, count(*), sum(o.cursor) from fleet.object o join fleet.cluster c on c.id = o.cluster_id "
        "join fleet.resource_type t on t.id = o.type_id where c.name = $1 and t.resource in "
        "('secrets', 'services', 'deployments', 'roles', 'clusterroles', 'priorityclasses') group by 1 order by 1",
        cluster,
    )
    states = {name: entry["state"] for name, entry in fleet.types(cluster).items() if not name.startswith(plural)}
    return session, rows, states


def test_a_crd_is_followed_through_install_version_change_and_delete_and_disturbs_nothing(
    world: Fleet, two_planes: tuple[ControlPlane, ControlPlane]
) -> None:
    fleet, plane = world, two_planes[1]
    crd = definition("comets", "Comet", "v1alpha1")
    name = crd["metadata"]["name"]
    before = others(fleet, plane.name, "comets")

    path = install(plane, crd)
    discovered = Seen(time.monotonic(), "ADDED", {})
    made = f"{path}/namespaces/default/comets"
    plane.api.create(
        made,
        {"apiVersion": "demo.example.org/v1alpha1", "kind": "Comet", "metadata": {"name": "one"}, "spec": {"size": 7}},
    )
    served = f"/fleet{made}"

    def columns() -> Any:
        answer = fleet.client.ask(served, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
        return answer.json() if answer.status == 200 else None

    latency(
        discovered,
        lambda: bool((columns() or {}).get("rows")),
        "CRD installed: its object",
        limit=TYPE_WITHIN,
    )
    assert [column["name"] for column in columns()["columnDefinitions"]][:3] == ["Cluster", "Name", "Size"]
    assert columns()["rows"][0]["cells"][:3] == [plane.name, "one", 7]

    newer = definition("comets", "Comet", "v1alpha1", "v1")
    newer["spec"]["versions"][1]["additionalPrinterColumns"].insert(
        0, {"name": "Tail", "type": "string", "jsonPath": ".spec.tail"}
    )
    newer["metadata"]["resourceVersion"] = plane.api.get(f"{CRDS}/{name}")["metadata"]["resourceVersion"]
    plane.api.replace(f"{CRDS}/{name}", newer)
    wait_served(plane, newer, "v1")
    discovered = Seen(time.monotonic(), "MODIFIED", {})
    served = "/fleet/apis/demo.example.org/v1/namespaces/default/comets"

    def has_new_column() -> bool:
        table = columns() or {"columnDefinitions": [], "rows": []}
        return bool(table["rows"]) and "Tail" in [column["name"] for column in table["columnDefinitions"]]

    latency(discovered, has_new_column, "CRD with another version", limit=TYPE_WITHIN)
    assert fleet.client.get(f"{served}/one")["apiVersion"] == "demo.example.org/v1"

    plane.api.delete(f"{CRDS}/{name}")
    fleet.wait_until(lambda: gone(plane.api, "/apis/demo.example.org/v1/comets?limit=1"), "the member forgets the CRD")
    discovered = Seen(time.monotonic(), "DELETED", {})
    latency(
        discovered,
        lambda: fleet.client.ask(served).status == 404 and not fleet.search("ns:default name:one"),
        "CRD deleted: the type",
        limit=TYPE_WITHIN,
    )
    assert others(fleet, plane.name, "comets") == before


def test_what_was_disturbed_is_equal_again_afterwards(
    world: Fleet, two_planes: tuple[ControlPlane, ControlPlane]
) -> None:
    plane = two_planes[0]

    def equal() -> bool:
        member = member_objects(plane.api, CONFIG_MAPS)
        return not differences(member, index_objects(world.client, CONFIG_MAPS, plane.name))

    world.wait_until(equal, "config maps are equal")
    world.verify()
