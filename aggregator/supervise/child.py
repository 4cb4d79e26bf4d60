"""A process that is kept running: started, watched, started again when it dies, stopped when asked."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from aggregator.files import write_private
from aggregator.storage.embedded import Account, drop

log = logging.getLogger(__name__)
_PR_SET_PDEATHSIG: Final = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PYTHON: Final = (sys.executable, "-P", "-m")
"""-P: a folder that happens to be called `agent` where we are started is not ours."""
_SHORTEST: Final = 0.1
_LONGEST: Final = 3.0
"""Seconds before a restart: a pid file is replaced within five seconds of a death, however often it dies."""
_GOOD_LIFE: Final = 20.0
"""Who lived this long begins with the shortest pause again."""


@dataclass(frozen=True)
class Program:
    """What to run. `log` gets stdout and stderr. `stop_seconds`: patience after `stop_signal`, then it is killed."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_seconds: float = 15.0


@dataclass
class Child:
    """`prepare` is awaited before every start and says what to run; what it raises counts as a death. `pid_file` holds
    the process's own number while it runs."""

    name: str
    prepare: Callable[[], Awaitable[Program]]
    pid_file: Path
    first_pause: float = _SHORTEST
    """Seconds between a death and the next start; doubles with each death, up to three."""
    restarts: int = 0
    pid: int | None = None
    problem: str = ""
    """Why it is not running, or why its last life ended."""
    _task: asyncio.Task[None] | None = field(default=None, repr=False)

    def start(self) -> None:
        """Begin to keep it running. Call from a running event loop."""
        self._task = asyncio.create_task(self._run(), name=f"child {self.name}")

    async def stop(self) -> None:
        """Returns when the process has ended."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        pause = self.first_pause
        while True:
            begun = time.monotonic()
            try:
                await self._live(await self.prepare())
            except Exception as error:  # a child that cannot be started is tried again for ever, and says why
                self.problem = str(error) or repr(error)
            if time.monotonic() - begun > _GOOD_LIFE:
                pause = self.first_pause
            log.warning("%s: %s; again in %.1f s", self.name, self.problem, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST)
            self.restarts += 1

    async def _live(self, program: Program) -> None:
        """One life, from start to end."""
        process = await _spawn(program)
        self.pid = process.pid
        try:
            write_private(self.pid_file, f"{process.pid}\n")
            log.info("%s runs as process %d", self.name, process.pid)
            code = await process.wait()
            self.problem = f"{_ending(code)}: {_last_line(program.log)}"
        except asyncio.CancelledError:
            await _end(process, program)
            raise
        finally:
            self.pid = None
            self.pid_file.unlink(missing_ok=True)


async def _spawn(program: Program) -> asyncio.subprocess.Process:
    parent = os.getpid()

    def die_with_parent() -> None:
        os.umask(0o077)  # whatever it writes is private
        # Asked for in the child, after it has dropped its rights: a change of user clears it.
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(program.stop_signal))
            if os.getppid() != parent:
                os._exit(1)

    program.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(program.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        return await asyncio.create_subprocess_exec(
            *program.command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            cwd="/",
            env=program.environment,
            start_new_session=True,  # Ctrl-C goes to the supervisor alone, which stops its children in order
            preexec_fn=die_with_parent,
            **drop(program.account),  # type: ignore[arg-type]
        )
    finally:
        os.close(handle)


async def _end(process: asyncio.subprocess.Process, program: Program) -> None:
    for stop, seconds in ((program.stop_signal, program.stop_seconds), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(stop)
        try:
            await asyncio.wait_for(process.wait(), seconds)
            return
        except TimeoutError:
            log.warning("%s did not end %g s after %s", program.name, seconds, stop.name)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def _last_line(file: Path) -> str:
    """The last thing that a process said, cut to a readable length."""
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - 4096))
            lines = opened.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1][:400] if lines else "(it said nothing)"
