"""Control planes and kubectls for e2e tests, started when the first test asks for them and shared by all of them.

A test takes a namespace of its own. What cannot be built is an error that says why, never a skip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.controlplane.build import binaries
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.kubectl import kubectl
from tests.controlplane.plane import ControlPlane
from tests.e2e.fleet import STALE_AFTER_SECONDS, Fleet, Rough, fleet_of
from tests.e2e.production import Production
from tests.e2e.world import one_of_each, wait_available

NODES = 5

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def controlplane_binaries() -> Path:
    """The folder of the control plane's binaries, built when they are not there yet (minutes, once)."""
    return binaries()


@pytest.fixture(scope="session")
def plane(controlplane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane without nodes: pods stay Pending."""
    with ControlPlane(tmp_path_factory.mktemp("plane"), programs=controlplane_binaries) as started:
        yield started


@pytest.fixture(scope="session")
def two_planes(
    controlplane_binaries: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ControlPlane, ControlPlane]]:
    """Two control planes, `c1` and `c2`, with nodes that kwok plays: pods run."""
    folder = tmp_path_factory.mktemp("planes")
    with (
        ControlPlane(folder / "c1", name="c1", programs=controlplane_binaries) as first,
        ControlPlane(folder / "c2", name="c2", programs=controlplane_binaries) as second,
    ):
        first.create_nodes(NODES)
        second.create_nodes(NODES)
        yield first, second


@pytest.fixture(scope="session")
def two_planes_kubeconfig(
    two_planes: tuple[ControlPlane, ControlPlane], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """One kubeconfig with the contexts `c1` (current) and `c2`."""
    file = tmp_path_factory.mktemp("kubeconfig") / "kubeconfig"
    return write_kubeconfig(file, [plane.context for plane in two_planes])


@pytest.fixture
def namespace() -> str:
    """A name for this test's own namespace; `plane.create_namespace(namespace)` makes it."""
    return f"test-{next(_numbers)}"


@pytest.fixture(scope="session")
def kubectl137() -> Path:
    return kubectl("1.37")


@pytest.fixture(scope="session")
def kubectl132() -> Path:
    return kubectl("1.32")


@pytest.fixture(scope="session")
def fleet(two_planes: tuple[ControlPlane, ControlPlane], two_planes_kubeconfig: Path) -> Iterator[Fleet]:
    """`fleetpedia up` on `c1` and `c2`; tests that share it break nothing."""
    with fleet_of(two_planes_kubeconfig, "c1", "c2") as started:
        yield started


@pytest.fixture(scope="session")
def world(fleet: Fleet, two_planes: tuple[ControlPlane, ControlPlane]) -> Fleet:
    """The fleet, with the namespace `world` in both members: something of every type that is printed, at rest."""
    for plane in two_planes:
        one_of_each(plane)
    for plane in two_planes:
        wait_available(plane, "world", "web", 3)
    for plane in two_planes:
        fleet.wait_until(partial(_has_gadgets, fleet, plane.name), "gadgets are known")
    fleet.verify()
    return fleet


def _has_gadgets(fleet: Fleet, cluster: str) -> bool:
    return "gadgets.demo.example.org" in fleet.types(cluster)


@pytest.fixture(scope="session")
def rough(controlplane_binaries: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rough]:
    """Members `k1` and `k2`; stale after `STALE_AFTER_SECONDS`. A test leaves it as it found it: all alive, in sync."""
    folder = tmp_path_factory.mktemp("rough")
    with (
        ControlPlane(folder / "k1", name="k1", programs=controlplane_binaries) as first,
        ControlPlane(folder / "k2", name="k2", programs=controlplane_binaries) as second,
    ):
        kubeconfig = write_kubeconfig(folder / "kubeconfig", [first.context, second.context])
        stale = f"{STALE_AFTER_SECONDS}s"
        with fleet_of(kubeconfig, "k1", "k2", options=["--stale-after", stale]) as started:
            yield Rough(started, (first, second))


@pytest.fixture(scope="session")
def production() -> Iterator[Production]:
    """`fleetpedia serve` on a Postgres of its own, without any member."""
    with Production.started() as running:
        yield running
