"""What is going on, on stderr: stdout is for what callers read."""

from __future__ import annotations

import sys


def say(message: str) -> None:
    """One line of progress."""
    print(f"controlplane: {message}", file=sys.stderr, flush=True)
