"""Ports on loopback for processes that must keep theirs over a restart."""

from __future__ import annotations

import random
import socket

# Below the range that the kernel hands out to outgoing connections: while a process is down, one of those
# could take its port, and the process would never come back on it.
FIRST, LAST = 15000, 32000
ATTEMPTS = 200

_given: set[int] = set()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on and that was not given out by this process before."""
    for _ in range(ATTEMPTS):
        port = random.SystemRandom().randint(FIRST, LAST)
        if port not in _given and _can_bind(port):
            _given.add(port)
            return port
    raise OSError(f"no free port on 127.0.0.1 between {FIRST} and {LAST} after {ATTEMPTS} attempts")


def _can_bind(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
