"""A member that goes away keeps its rows, marked; the others go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.controlplane.components import API_SERVER
from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.client import TABLE
from tests.e2e.fleet import STALE_AFTER_SECONDS, Rough
from tests.e2e.member import config_map

MARGIN_SECONDS = 1.0


@contextmanager
def away(plane: ControlPlane, how: str) -> Iterator[None]:
    """Frozen: connections stay open and nothing comes, as behind a broken network. Killed: refused at once."""
    if how == "frozen":
        plane.process(API_SERVER).freeze()
    else:
        plane.kill(API_SERVER)
    try:
        yield
    finally:
        if how == "frozen":
            plane.process(API_SERVER).thaw()
        else:
            plane.start(API_SERVER)
        plane.wait_ready()


@pytest.mark.parametrize("how", ["frozen", "killed"])
def test_a_member_that_goes_away_is_marked_in_time_and_everything_else_goes_on(
    rough: Rough, how: str, namespace: str, kubectl137: object
) -> None:
    fleet, (first, second) = rough.fleet, rough.planes
    first.create_namespace(namespace)
    path = "/fleet/clusters/k2/api/v1/configmaps"
    rows = len(fleet.client.get(path)["items"])
    assert rows > 0
    assert fleet.cluster("k2")["stale"] is False
    with away(second, how):
        began = time.monotonic()
        # When the member last answered is up to one heartbeat older than the moment at which it went away, never newer.
        wait_until(
            lambda: fleet.cluster("k2")["stale"],
            "k2 is stale",
            timeout=STALE_AFTER_SECONDS + MARGIN_SECONDS,
            explain=fleet.explain,
        )
        print(f"{how}: stale after {time.monotonic() - began:.1f} s (--stale-after {STALE_AFTER_SECONDS} s)")
        cluster = fleet.cluster("k2")
        assert cluster["phase"] == "Stale"
        assert cluster["ageSeconds"] >= STALE_AFTER_SECONDS - MARGIN_SECONDS
        assert len(fleet.client.get(path)["items"]) == rows
        for face in ("/fleet/api/v1/configmaps", path):
            for accept in ("application/json", TABLE):
                answer = fleet.client.ask(face, headers={"Accept": accept})
                assert answer.status == 200
                assert any("k2" in warning for warning in answer.warnings), (face, answer.warnings)
        assert fleet.client.ask("/fleet/clusters/k1/api/v1/configmaps").warnings == ()
        found = fleet.client.get("/api/v1/search", q="kind:configmap")
        assert "k2" in str(found["stale"])
        assert "k1" not in str(found["stale"])
        assert fleet.metric("fleetpedia_cluster_stale", cluster="k2") == 1
        assert fleet.metric("fleetpedia_cluster_stale", cluster="k1") == 0
        printed = fleet.run("clusters", "list")
        assert "Stale" in next(line for line in printed.lines() if "k2" in line.split())
        # The other member is as fast as ever.
        first.api.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map(f"during-{how}"))
        wait_until(lambda: fleet.search(f"ns:{namespace} name:during-{how}"), "k1's change is found", timeout=1)
        assert fleet.cluster("k1")["stale"] is False
        verified = fleet.run("verify", "--timeout", "3s", ok=(3,))
        assert "k2" in verified.out + verified.err
    fleet.wait_until(lambda: fleet.cluster("k2")["stale"] is False, "k2 is back", timeout=20)
    fleet.wait_until(lambda: fleet.cluster("k2")["phase"] == "Ready", "k2 is in sync", timeout=20)
    assert fleet.client.ask(path).warnings == ()
    second.wait_ready()
    fleet.verify()


def test_kubectl_prints_the_warning_and_the_rows(rough: Rough, kubectl137: object, kubectl132: object) -> None:
    with away(rough.planes[1], "frozen"):
        rough.fleet.wait_until(lambda: rough.fleet.cluster("k2")["stale"], "k2 is stale")
        for program in (kubectl137, kubectl132):
            result = rough.fleet.kubectl(program, "get", "namespaces")  # type: ignore[arg-type]
            assert "Warning" in result.err
            assert "k2" in result.err
            assert {line.split()[0] for line in result.lines()[1:]} == {"k1", "k2"}
    rough.fleet.wait_until(lambda: rough.fleet.cluster("k2")["phase"] == "Ready", "k2 is back", timeout=20)
