"""Agents beside the aggregator: one child process per cluster that was added with a kubeconfig (never a task in it, so
that a member's trouble stays its own)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from aggregator.files import write_private
from aggregator.supervise.child import PYTHON, Child, Program
from aggregator.supervise.logs import trim
from schema.errors import FleetpediaError

log = logging.getLogger(__name__)
_POLL_SECONDS: Final = 2.0
_FIRST_PAUSE: Final = 1.0
MOST: Final = 500
"""Processes on one machine; more clusters belong into the cluster's own agent."""


class AgentChildren:
    """`wanted`: kubeconfigs (inline credentials, YAML) by cluster name. `credential`: makes a credential of a cluster.
    `url`, `ca`: how an agent reaches us. Files are kept in `data`/agents and `data`/log, mode 0600."""

    def __init__(
        self,
        data: Path,
        url: str,
        ca: Path | None,
        wanted: Callable[[], Awaitable[Mapping[str, bytes]]],
        credential: Callable[[str], Awaitable[str]],
    ):
        self._data = data
        self._url = url
        self._ca = ca
        self._wanted = wanted
        self._credential = credential
        self._children: dict[str, tuple[str, Child]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look again now: a cluster came or went."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; when cancelled, returns once every child has ended."""
        try:
            while True:
                try:
                    await self._follow(await self._wanted())
                except FleetpediaError as error:
                    log.warning("agents beside the aggregator stay as they are: %s", error)
                await asyncio.to_thread(trim, self._data / "log")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), _POLL_SECONDS)
                self._woken.clear()
        finally:
            await asyncio.gather(*(child.stop() for _, child in self._children.values()))

    async def _follow(self, wanted: Mapping[str, bytes]) -> None:
        marks = {name: hashlib.sha256(kubeconfig).hexdigest() for name, kubeconfig in wanted.items()}
        for name, (mark, child) in list(self._children.items()):
            if marks.get(name) != mark:
                del self._children[name]
                await child.stop()
                if name not in wanted:
                    self._forget(name)
        for name, kubeconfig in wanted.items():
            if name in self._children:
                continue
            if len(self._children) >= MOST:
                log.warning("cluster %s gets no agent here: %d run already; use `clusters manifest`", name, MOST)
                break
            await self._start(name, kubeconfig, marks[name])

    async def _start(self, name: str, kubeconfig: bytes, mark: str) -> None:
        folder = self._folder(name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(folder / "kubeconfig", kubeconfig)
        write_private(folder / "token", f"{await self._credential(name)}\n")
        command = [*PYTHON, "agent.main", "--server", self._url, "--token-file", str(folder / "token")]
        command += ["--kubeconfig", str(folder / "kubeconfig")]
        if self._ca:
            command += ["--ca-file", str(self._ca)]

        async def program() -> Program:
            return Program(f"agent-{name}", tuple(command), self._data / "log" / f"agent-{name}.log")

        (self._data / "run").mkdir(mode=0o711, parents=True, exist_ok=True)
        child = Child(f"agent-{name}", program, self._data / "run" / f"agent-{name}.pid", first_pause=_FIRST_PAUSE)
        child.start()
        self._children[name] = (mark, child)

    def _forget(self, name: str) -> None:
        for file in ("kubeconfig", "token"):
            (self._folder(name) / file).unlink(missing_ok=True)

    def _folder(self, name: str) -> Path:
        return self._data / "agents" / name
