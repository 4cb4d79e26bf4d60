"""An installation as a person has it: `fleetpedia` and kubectl as subprocesses, and what the running thing says."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.client import Client
from tests.e2e.database import query

FLEETPEDIA = Path(sys.executable).with_name("fleetpedia")
AGENT = Path(sys.executable).with_name("fleetpedia-agent")
STALE_AFTER_SECONDS = 4
"""`--stale-after` of the rough fleet."""
SAMPLE = re.compile(r"^(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Result:
    """What a program left: exit code and both outputs."""

    command: str
    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def lines(self) -> list[str]:
        return self.out.splitlines()

    def __str__(self) -> str:
        return f"{self.command}\nexit {self.code}\n--- stdout\n{self.out[-4000:]}\n--- stderr\n{self.err[-4000:]}"


def run(*command: str | Path, timeout: float = 120, environment: dict[str, str] | None = None) -> Result:
    """Runs a program to its end, whatever that is."""
    words = [str(word) for word in command]
    # No variable of the person who runs the tests may reach a program under test.
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FLEETPEDIA_", "KUBECONFIG"))}
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**clean, **(environment or {})},
    )
    return Result(" ".join(words), done.returncode, done.stdout, done.stderr)


def data_folder() -> Path:
    """A new one with a short path: the path of a Unix socket ends at 107 bytes."""
    return Path(tempfile.mkdtemp(prefix="fp-e2e-", dir="/tmp"))


class Installation:
    """A data folder with something running on it."""

    def __init__(self, data: Path, url: str) -> None:
        self.data = data
        self.url = url
        self.ca = data / "ca.crt"
        self.token = (data / "admin-token").read_text().strip()
        self.kubeconfig = data / "kubeconfig"
        self.client = self.client_as(self.token)

    def client_as(self, token: str) -> Client:
        return Client(self.url, token, self.ca)

    # -- programs ---------------------------------------------------------------------------------------------
    def run(self, *arguments: str | Path, ok: Sequence[int] = (0,), timeout: float = 120) -> Result:
        """`fleetpedia ARGUMENTS` on this folder; its exit code must be one of `ok`."""
        result = run(FLEETPEDIA, *arguments, "--data", self.data, timeout=timeout)
        assert result.code in ok, str(result)
        return result

    def kubectl(
        self,
        program: Path,
        *arguments: str | Path,
        context: str = "fleet",
        ok: Sequence[int] = (0,),
        timeout: float = 60,
    ) -> Result:
        """kubectl with the folder's kubeconfig and a discovery cache of its own."""
        cache = self.data / "kubectl-cache" / program.parent.name
        base = ["--kubeconfig", str(self.kubeconfig), "--context", context, "--cache-dir", str(cache)]
        result = run(program, *base, *arguments, timeout=timeout)
        assert result.code in ok, str(result)
        return result

    # -- what is asked often ----------------------------------------------------------------------------------
    def cluster(self, name: str) -> dict[str, Any]:
        """`/api/v1/clusters/NAME`."""
        found: dict[str, Any] = self.client.get(f"/api/v1/clusters/{name}")
        return found

    def types(self, name: str) -> dict[str, dict[str, Any]]:
        """The types of a cluster by name (`pods`, `deployments.apps`)."""
        return {entry["type"]: entry for entry in self.cluster(name)["types"]}

    def search(self, text: str, **parameters: str | int) -> list[dict[str, Any]]:
        """The items that `/api/v1/search` finds."""
        items: list[dict[str, Any]] = self.client.get(f"/api/v1/search?{urlencode({'q': text, **parameters})}")["items"]
        return items

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples of a metric that have these labels; 0 where there are none."""
        total = 0.0
        for line in self.client.ask("/metrics").text.splitlines():
            sample = SAMPLE.match(line)
            if sample and sample["name"] == name:
                has = dict(LABEL.findall(sample["labels"] or ""))
                if all(has.get(key) == value for key, value in labels.items()):
                    total += float(sample["value"])
        return total

    def wait_until(self, condition: Callable[[], Any], what: str, *, timeout: float = 30.0, quiet: bool = True) -> Any:
        """Waits until `condition` gives something true; says why not with the ends of the logs.

        quiet: an aggregator that is away or answers an error counts as "not yet"."""

        def ask() -> Any:
            try:
                return condition()
            except (OSError, AssertionError, KeyError):
                if quiet:
                    return None
                raise

        return wait_until(ask, what, timeout=timeout, explain=self.explain)

    def sql(self, text: str, *arguments: Any) -> list[tuple[Any, ...]]:
        """The rows of a query on the installation's database."""
        return query(self.database, text, *arguments)

    @property
    def database(self) -> str:
        raise NotImplementedError

    def explain(self) -> str:
        """The last lines of every log."""
        parts = []
        for log in sorted((self.data / "log").glob("*.log")):
            parts += [f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-15:]]
        return "\n".join(parts)

    def verify(self, *arguments: str, timeout: float = 120) -> dict[str, Any]:
        """`fleetpedia verify -o json`, which must find everything equal."""
        result = self.run("verify", "-o", "json", *arguments, ok=(0, 1, 3), timeout=timeout)
        assert result.code == 0, f"{_differing(result.out)}\n{result}\n{self.explain()}"
        report: dict[str, Any] = result.json()
        assert report["equal"] is True, report
        return report


class Fleet(Installation):
    """What `fleetpedia up --detach` started."""

    def __init__(self, data: Path, answer: dict[str, Any]) -> None:
        super().__init__(data, answer["url"])
        self.answer = answer
        self.clusters: list[str] = answer["clusters"]
        self._database: str | None = None

    @property
    def database(self) -> str:
        if self._database is None:
            self._database = str(self.run("status", "-o", "json", ok=(0, 1)).json()["database"])
        return self._database

    def pid(self, role: str) -> int:
        """Of `aggregator`, `postgres` or `agent-NAME`, from its pid file."""
        return int((self.data / "run" / f"{role}.pid").read_text())

    def kill9(self, role: str) -> int:
        """kill -9; returns the pid that is no more."""
        pid = self.pid(role)
        os.kill(pid, 9)
        return pid

    def wait_replaced(self, role: str, old: int, *, timeout: float = 5.0) -> int:
        """Waits for another living process in the pid file; returns its pid."""

        def replaced() -> int | None:
            with contextlib.suppress(FileNotFoundError, ValueError):
                pid = self.pid(role)
                return pid if pid != old and _runs(pid) else None
            return None

        return wait_until(replaced, f"{role} is replaced", timeout=timeout, explain=self.explain)

    def down(self) -> Result:
        return run(FLEETPEDIA, "down", "--data", self.data, timeout=60)


@dataclass(frozen=True)
class Rough:
    """A fleet of two members without nodes, where nothing happens by itself, for tests that break things."""

    fleet: Fleet
    planes: tuple[ControlPlane, ControlPlane]


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def start(*arguments: str | Path, data: Path | None = None, timeout: float = 90) -> tuple[Path, Result]:
    """`fleetpedia up --detach --json ARGUMENTS`, whatever it answers; the folder and the answer."""
    folder = data or data_folder()
    wait = f"{timeout:g}"
    result = run(
        FLEETPEDIA, "up", "--data", folder, "--detach", "--json", "--timeout", wait, *arguments, timeout=timeout + 30
    )
    return folder, result


@contextmanager
def fleet_of(kubeconfig: Path, *contexts: str, options: Sequence[str] = (), timeout: float = 120) -> Iterator[Fleet]:
    """`up` with these contexts of a kubeconfig, in sync; taken down and thrown away at the end."""
    named = [word for context in contexts for word in ("--context", context)]
    began = time.monotonic()
    folder, result = start("--kubeconfig", kubeconfig, *named, *options, timeout=timeout)
    try:
        assert result.code == 0, f"{result}\n{_logs(folder)}"
        print(f"up with {', '.join(contexts)} took {time.monotonic() - began:.1f} s")
        yield Fleet(folder, json.loads(result.out.strip().splitlines()[-1]))
    finally:
        throw_away(folder)


def throw_away(folder: Path) -> None:
    """Stops what runs on the folder and removes it."""
    run(FLEETPEDIA, "down", "--data", folder, timeout=60)
    if "FLEETPEDIA_E2E_KEEP" not in os.environ:
        shutil.rmtree(folder, ignore_errors=True)


def _logs(folder: Path) -> str:
    logs = sorted((folder / "log").glob("*.log"))
    return "\n".join(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}" for log in logs)


def _differing(report: str) -> str:
    """Of a verify's report, what is not equal: the rest is long."""
    try:
        entries = json.loads(report)["clusters"]
    except (ValueError, KeyError):
        return report[:2000]
    wrong = [entry for entry in entries if any(entry.get(k) for k in ("missing", "ghost", "different", "reason"))]
    return json.dumps(wrong)[:4000]
