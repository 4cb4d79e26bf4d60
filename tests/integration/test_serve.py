"""`fleetpedia serve` as a process: waiting for a database, a port in use, its end."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FLEETPEDIA = Path(sys.executable).with_name("fleetpedia")
NOBODY = "postgresql://nobody@127.0.0.1:1/none"


@contextmanager
def serving(data: Path, database: str, listen: str) -> Iterator[subprocess.Popen[str]]:
    command = [FLEETPEDIA, "serve", "--data", data, "--database", database, "--listen", listen]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def ask(data: Path, url: str) -> tuple[int, str]:
    """Status and text, once somebody answers."""
    deadline = time.monotonic() + 20
    while True:
        try:
            context = ssl.create_default_context(cafile=data / "ca.crt")
            with urllib.request.urlopen(url, context=context, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except (OSError, urllib.error.URLError):
            assert time.monotonic() < deadline, f"nobody answers at {url}"
            time.sleep(0.05)


def test_a_database_that_is_away_is_waited_for_and_the_reason_is_told(tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    with serving(tmp_path, NOBODY, url.removeprefix("https://")) as process:
        status, text = ask(tmp_path, f"{url}/readyz")
        assert status == 503
        assert "starting" in text
        assert ask(tmp_path, f"{url}/livez") == (200, "ok")
        status, text = ask(tmp_path, f"{url}/fleet/api/v1/pods")
        assert (status, '"kind":"Status"' in text) == (503, True)
        while "the database is away" not in ask(tmp_path, f"{url}/readyz")[1]:
            time.sleep(0.05)
        assert not (tmp_path / "endpoint").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with serving(tmp_path, NOBODY, listen) as process:
            _, said = process.communicate(timeout=20)
    assert process.returncode == 1
    assert listen in said
    assert "--listen" in said
    assert "Traceback" not in said
