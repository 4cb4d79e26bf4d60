"""A whole installation in a temporary folder, started as a person starts it: `fleetpedia up`, `python -m simulator`."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

FLEETPEDIA = [sys.executable, "-m", "aggregator.cli"]


@dataclass(frozen=True)
class Stack:
    """A running installation. `url` has no trailing slash; `database` is a libpq URL."""

    data: Path
    url: str
    token: str
    ca: Path
    database: str
    clusters: tuple[str, ...]

    def pids(self, role: str) -> list[int]:
        """Pids of `aggregator`, `postgres`, or of all agents (`agent`)."""
        return [int(file.read_text()) for file in sorted((self.data / "run").glob(f"{role}*.pid"))]

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    def get(self, path: str) -> bytes:
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, context=self.tls(), timeout=120) as answer:
            body: bytes = answer.read()
            return body

    def get_json(self, path: str) -> Any:
        return orjson.loads(self.get(path))


def fleetpedia(*arguments: str | Path, timeout: float = 900) -> str:
    done = subprocess.run(
        [*FLEETPEDIA, *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=timeout, check=True
    )
    return done.stdout


@contextlib.contextmanager
def installation(*arguments: str | Path, timeout: float = 900) -> Iterator[Stack]:
    """`fleetpedia up --detach` with `arguments`, everything stopped and removed at the end."""
    data = Path(tempfile.mkdtemp(prefix="fleetpedia-bench-"))
    try:
        line = fleetpedia(
            "up", "--data", data, "--detach", "--json", "--timeout", str(int(timeout)), *arguments, timeout=timeout + 60
        )
        yield _stack(data, orjson.loads(line.strip().splitlines()[-1]))
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            fleetpedia("down", "--data", data)
        shutil.rmtree(data, ignore_errors=True)


def _stack(data: Path, answer: dict[str, Any]) -> Stack:
    status = orjson.loads(fleetpedia("status", "--data", data, "-o", "json"))
    return Stack(
        data=data,
        url=answer["url"],
        token=Path(answer["token_file"]).read_text().strip(),
        ca=Path(answer["ca_file"]),
        database=status["database"],
        clusters=tuple(answer["clusters"]),
    )


@contextlib.contextmanager
def process(*command: str | Path, ready: Path, timeout: float = 300) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that runs until the end of the block; begins when the file `ready` has content."""
    running = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, env=os.environ)
    try:
        deadline = time.monotonic() + timeout
        while not (ready.exists() and ready.stat().st_size):
            if running.poll() is not None:
                raise RuntimeError(f"{command} ended with {running.returncode} before it was ready")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{command} was not ready in {timeout} s")
            time.sleep(0.05)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        try:
            running.wait(30)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
