"""Builds the binaries of the control plane from our three small Go modules, once, into the cache."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.cache import cache_folder, locked
from tests.controlplane.progress import say
from tests.controlplane.toolchain import BuildError, go_environment, go_toolchain

MODULES = Path(__file__).parent / "go"
KUBERNETES_VERSION = "1.37.2"
STRIP = "-s -w"


@dataclass(frozen=True)
class Binary:
    """One program: `package` is its main package, built inside the Go module `go/{module}`."""

    name: str
    module: str
    package: str
    ldflags: str = STRIP


def _kubernetes(name: str) -> Binary:
    # Without the version the server says v0.0.0, which kubectl complains of.
    major, minor, _ = KUBERNETES_VERSION.split(".")
    version = "k8s.io/component-base/version"
    ldflags = (
        f"{STRIP} -X {version}.gitVersion=v{KUBERNETES_VERSION}"
        f" -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    )
    return Binary(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", ldflags)


BINARIES = (
    Binary("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    _kubernetes("kube-apiserver"),
    _kubernetes("kube-controller-manager"),
    _kubernetes("kube-scheduler"),
    Binary("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok"),
)


def binaries() -> Path:
    """The folder that holds all binaries; builds what is missing (minutes, the first time).

    `FLEETPEDIA_CONTROLPLANE_BIN` names a folder with ready binaries instead.
    Raises BuildError with the reason.
    """
    given = os.environ.get("FLEETPEDIA_CONTROLPLANE_BIN")
    if given:
        return _given(Path(given))
    folder = cache_folder() / _fingerprint()
    if not _missing(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / ".lock", what="build of the test control plane"):
        _build(folder, _missing(folder))
    return folder


def _given(folder: Path) -> Path:
    missing = _missing(folder)
    if missing:
        names = ", ".join(binary.name for binary in missing)
        raise BuildError(
            f"FLEETPEDIA_CONTROLPLANE_BIN={folder}: no executable {names} there;"
            " unset it to build them, or name a folder that `python -m tests.controlplane --build` printed"
        )
    return folder


def _missing(folder: Path) -> list[Binary]:
    return [binary for binary in BINARIES if not os.access(folder / binary.name, os.X_OK)]


def _fingerprint() -> str:
    """Names the cache folder: what is pinned, how it is built, for which machine."""
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()} {BINARIES}".encode())
    for module in sorted({binary.module for binary in BINARIES}):
        for file in ("go.mod", "go.sum", "tools.go"):
            digest.update((MODULES / module / file).read_bytes())
    return digest.hexdigest()[:16]


def _build(folder: Path, missing: list[Binary]) -> None:
    if not missing:
        return
    go = go_toolchain()
    for position, binary in enumerate(missing, 1):
        started = time.monotonic()
        say(f"building {binary.name} ({position} of {len(missing)}) …")
        _build_one(go, binary, folder)
        say(f"built {binary.name} in {time.monotonic() - started:.0f} s")


def _build_one(go: Path, binary: Binary, folder: Path) -> None:
    # Renamed when whole, so that an interrupted build leaves nothing that looks ready.
    unfinished = folder / f".{binary.name}.{os.getpid()}"
    command = [
        str(go),
        "build",
        "-trimpath",
        "-ldflags",
        binary.ldflags,
        "-o",
        str(unfinished),
        binary.package,
    ]
    try:
        result = subprocess.run(
            command,
            cwd=MODULES / binary.module,
            env=go_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise BuildError(f"go build {binary.package} failed:\n{_last_lines(result.stdout)}")
        unfinished.replace(folder / binary.name)
    finally:
        unfinished.unlink(missing_ok=True)


def _last_lines(output: str, count: int = 20) -> str:
    return "\n".join(output.strip().splitlines()[-count:])
