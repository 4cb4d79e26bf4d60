"""Control planes and kubectls for e2e tests, started when the first test asks for them and shared by all of them.

A test takes a namespace of its own. What cannot be built is an error that says why, never a skip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.controlplane.build import binaries
from tests.controlplane.kubeconfig import write_kubeconfig
from tests.controlplane.kubectl import kubectl
from tests.controlplane.plane import ControlPlane

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
