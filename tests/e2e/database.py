"""SQL from tests, and a Postgres that can be taken away and brought back."""

from __future__ import annotations

import asyncio
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.controlplane.waiting import wait_until
from tests.postgres import system_binaries, wheel_binaries


def query(database: str, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """The rows of one statement."""

    async def ask() -> list[tuple[Any, ...]]:
        import asyncpg

        connection = await asyncpg.connect(database)
        try:
            return [tuple(row) for row in await connection.fetch(text, *arguments)]
        finally:
            await connection.close()

    return asyncio.run(ask())


class Postgres:
    """A server in a folder of its own, on a Unix socket; `start`, `stop` and `start` again keep the data."""

    def __init__(self) -> None:
        binaries = system_binaries() or wheel_binaries()
        assert binaries is not None, "no Postgres on this machine: install it, or the extra `embedded`"
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="fp-pg-", dir="/tmp"))
        self._owner = _unprivileged(self.folder)
        self.data = self.folder / "data"
        self.url = f"postgresql://postgres@/postgres?host={self.folder}"
        made = subprocess.run(
            [self._binaries / "initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
            **self._owner,
        )
        assert made.returncode == 0, made.stderr

    def start(self) -> None:
        """Returns when it takes connections."""
        command: list[str | Path] = [self._binaries / "postgres", "-D", self.data, "-k", self.folder]
        command += ["-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=64MB"]
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._owner
            )
        self._process = process
        wait_until(self._ready, "the test's Postgres takes connections", explain=(self.folder / "log").read_text)

    def _ready(self) -> bool:
        file = self.data / "postmaster.pid"
        return file.exists() and file.read_text().rstrip().endswith("ready")

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(30)
            self._process = None

    def throw_away(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Postgres refuses to run as root: whom to run it as instead, who then owns the folder."""
    account = next((entry for entry in pwd.getpwall() if entry.pw_name in ("postgres", "nobody")), None)
    if pwd.getpwuid(folder.stat().st_uid).pw_uid != 0 or account is None:
        return {}
    shutil.chown(folder, account.pw_uid)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()}
