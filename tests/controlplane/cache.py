"""Where built and fetched programs are kept, outside the work tree, and the lock that its writers take."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tests.controlplane.progress import say
from tests.controlplane.waiting import wait_until

LOCK_TIMEOUT_SECONDS = 1800.0


def cache_folder() -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/fleetpedia/controlplane`."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "fleetpedia" / "controlplane"


@contextmanager
def locked(path: Path, *, what: str, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
    """Holds the lock file `path`, waiting up to `timeout` seconds for another process that holds it.

    Raises TimeoutError that names `what` the other one is busy with.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        if not _try_lock(file):
            say(f"waiting for another process: {what} …")
            wait_until(lambda: _try_lock(file), f"{what}: another process holds {path}", timeout=timeout)
        yield


def _try_lock(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
