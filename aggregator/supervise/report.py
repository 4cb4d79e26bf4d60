"""What `up` tells while it starts: lines, and how far each member is. To a terminal, to lines, or through a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from typing import Any, Protocol, TextIO

_LINE_SECONDS = 2.0
_SHOWN_TYPES = 4


class Report(Protocol):
    def say(self, text: str) -> None:
        """One line."""

    def progress(self, clusters: list[dict[str, Any]]) -> None:
        """How far each member is: entries of `/api/v1/clusters`."""

    def ready(self, code: int, text: str, line: str) -> None:
        """The start is over, with this exit code; `text` is for people, `line` for programs."""


class Console:
    """Redraws a block of lines on a terminal; else prints what changed, not more often than every two seconds."""

    def __init__(self, stream: TextIO | None = None, *, json_line: bool = False):
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._json = json_line
        self._drawn = 0
        self._lines: dict[str, str] = {}
        self._printed: dict[str, tuple[str, float]] = {}

    def say(self, text: str) -> None:
        self._clear()
        self._write(f"{text}\n")

    def progress(self, clusters: list[dict[str, Any]]) -> None:
        width = max((len(str(cluster["name"])) for cluster in clusters), default=0)
        lines = {str(cluster["name"]): describe(cluster, width) for cluster in clusters}
        if self._terminal:
            columns = shutil.get_terminal_size().columns - 1
            self._clear()
            self._write("".join(f"{line[:columns]}\n" for line in lines.values()))
            self._drawn = len(lines)
            return
        self._lines = lines
        self._print_changed(_LINE_SECONDS)

    def ready(self, code: int, text: str, line: str) -> None:
        self._drawn = 0  # the last state of the members stays above
        self._print_changed(0.0)
        if text:
            self._write(f"{text}\n")
        if self._json and line and not code:
            print(line, flush=True)

    def _print_changed(self, pause: float) -> None:
        """Lines that are not what was printed last, of members whose last line is `pause` seconds old."""
        now = time.monotonic()
        for name, line in self._lines.items():
            before, at = self._printed.get(name, ("", 0.0))
            if line != before and (not before or now - at >= pause):
                self._write(f"{line}\n")
                self._printed[name] = (line, now)

    def _clear(self) -> None:
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # whoever read it is gone; what we run goes on
            self._stream.write(text)
            self._stream.flush()


class Pipe:
    """To the process that waits for a detached start; mute once that is over."""

    def __init__(self, handle: int):
        self._handle: int | None = handle

    def say(self, text: str) -> None:
        self._send({"say": text})

    def progress(self, clusters: list[dict[str, Any]]) -> None:
        self._send({"progress": clusters})

    def ready(self, code: int, text: str, line: str) -> None:
        self._send({"ready": [code, text, line]})
        self.close()

    def process(self, pid: int) -> None:
        """Tell whom to stop when the waiting one is interrupted."""
        self._send({"pid": pid})

    def close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _send(self, message: dict[str, Any]) -> None:
        if self._handle is None:
            return
        data = json.dumps(message).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._handle, data) :]
        except BrokenPipeError:
            self.close()


def describe(cluster: dict[str, Any], width: int = 0) -> str:
    """`eu-west  Syncing   1,203 objects, 12 of 45 types in sync: pods 300, …`"""
    types = cluster.get("types") or []
    wanted = [type for type in types if type.get("state") not in ("Excluded", "Gone")]
    counted = [type for type in types if type.get("count") or type.get("state") == "Synced"]
    total = sum(int(type.get("count") or 0) for type in types)
    synced = sum(type.get("state") == "Synced" for type in types)
    largest = sorted(counted, key=lambda type: -int(type.get("count") or 0))[:_SHOWN_TYPES]
    some = ", ".join(f"{type['type']} {int(type.get('count') or 0):,}" for type in largest if type.get("count"))
    known = f"{total:>9,} objects, {synced} of {len(wanted)} types in sync"
    line = f"  {cluster['name']:<{width}}  {cluster.get('phase', ''):<9} {known}"
    return f"{line}: {some}" if some else line
