"""`fleetpedia serve` as in production: a process of its own on a given database."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.controlplane.ports import free_port
from tests.controlplane.waiting import wait_until
from tests.e2e.database import Postgres
from tests.e2e.fleet import FLEETPEDIA, Installation, data_folder, throw_away

START_TIMEOUT_SECONDS = 30.0
HEARTBEAT_SECONDS = 10.0


class Production(Installation):
    """A running `serve`; `postgres` is its database."""

    def __init__(self, data: Path, url: str, postgres: Postgres, process: subprocess.Popen[bytes]) -> None:
        super().__init__(data, url)
        self.postgres = postgres
        self.process = process

    @property
    def database(self) -> str:
        return self.postgres.url

    @classmethod
    @contextmanager
    def started(cls, *options: str) -> Iterator[Production]:
        """Serves on a free port until the end of the block, then everything is thrown away."""
        postgres, data = Postgres(), data_folder()
        process = None
        try:
            postgres.start()
            process, url = _serve(data, postgres.url, options)
            yield cls(data, url, postgres, process)
        finally:
            if process is not None:
                _end(process)
            postgres.throw_away()
            throw_away(data)


def _serve(data: Path, database: str, options: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], str]:
    url = f"https://127.0.0.1:{free_port()}"
    (data / "log").mkdir(exist_ok=True)
    command = [FLEETPEDIA, "serve", "--data", data, "--database", database, "--listen", url.removeprefix("https://")]
    log = data / "log" / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*map(str, command), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def ready() -> bool:
        assert process.poll() is None, f"serve ended with {process.returncode}: {log.read_text()}"
        endpoint = data / "endpoint"
        return endpoint.exists() and endpoint.read_text().strip() == url

    wait_until(ready, "serve writes its endpoint", timeout=START_TIMEOUT_SECONDS, explain=log.read_text)
    return process, url


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        # Its session is its own: whatever it left goes with it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
