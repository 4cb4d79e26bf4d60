"""Processes of an `up` that was killed: found by their pid files, and ended before a new one begins."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from aggregator.supervise.folder import DataFolder, read_pid

_PATIENCE: Final = 10.0


def end_leftovers(folder: DataFolder) -> list[int]:
    """End what pid files name and what still is a process of this folder; returns their pids. Postgres is not among
    them: storage.embedded knows better how to end it. Call with the lock of the folder."""
    ended = []
    for file in folder.run.glob("*.pid"):
        pid = read_pid(file)
        if file.stem in ("postgres", "up"):
            continue
        if pid and is_of(pid, folder.path):
            _end(pid, folder.path)
            ended.append(pid)
        file.unlink(missing_ok=True)
    return ended


def is_of(pid: int, data: Path) -> bool:
    """Whether the process lives and its command names the data folder: a number may be another's by now."""
    command = _command(pid)
    return any(word == str(data) or word.startswith(f"{data}{os.sep}") for word in command)


def _command(pid: int) -> list[str]:
    try:
        return (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return []
    said = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return said.stdout.split()


def _end(pid: int, data: Path) -> None:
    for stop, seconds in ((signal.SIGTERM, _PATIENCE), (signal.SIGKILL, _PATIENCE)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, stop)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not is_of(pid, data):
                return
            time.sleep(0.05)
