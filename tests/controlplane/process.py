"""One supervised child process: started again when it dies, killed for good with the harness."""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 5.0
STOP_TIMEOUT_SECONDS = 10.0


class Process:
    """`command`, with its output in `log`. Between `start` and `kill` it is restarted whenever it dies."""

    def __init__(self, name: str, command: Sequence[str | Path], log: Path) -> None:
        self.name = name
        self.log = log
        self.restarts = 0
        self._command = [*_die_with_parent(), *(str(part) for part in command)]
        self._changed = threading.Condition()
        self._wanted = False
        self._closed = False
        self._child: subprocess.Popen[bytes] | None = None
        # One thread starts all of them: to the kernel's parent-death signal that thread is the parent.
        self._thread = threading.Thread(target=self._supervise, name=f"supervise-{name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process id, or None while it does not run."""
        child = self._child
        return child.pid if child is not None else None

    def start(self) -> None:
        """Wants it to run; returns at once. Callers wait for what they need of it."""
        with self._changed:
            if self._closed:
                raise RuntimeError(f"{self.name} was stopped for good; make a new one")
            self._wanted = True
            self._changed.notify_all()
            if not self._thread.ident:
                self._thread.start()

    def kill(self) -> None:
        """SIGKILL, and no restart until `start`. Returns when the process is gone."""
        with self._changed:
            self._wanted = False
            self._changed.notify_all()
            if self._child is not None:
                self._child.kill()
            if not self._changed.wait_for(lambda: self._child is None, STOP_TIMEOUT_SECONDS):
                raise TimeoutError(f"{self.name} (pid {self.pid}) outlived SIGKILL by {STOP_TIMEOUT_SECONDS:g} s")

    def freeze(self) -> None:
        """SIGSTOP: it keeps its connections and answers nothing, as behind a broken network. `thaw` ends it."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT, after `freeze`."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        with self._changed:
            if self._child is None:
                raise RuntimeError(f"{self.name} does not run")
            self._child.send_signal(number)

    def close(self) -> None:
        """Kills it and ends its supervision."""
        self.kill()
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident:
            self._thread.join(STOP_TIMEOUT_SECONDS)

    def last_lines(self, count: int = 12) -> str:
        """The end of the log, under a headline."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        state = f"pid {self.pid}" if self.pid else "not running"
        return "\n".join([f"--- {self.name} ({state}, {self.restarts} restarts): {self.log}", *lines[-count:]])

    def _supervise(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        with self.log.open("ab") as output:
            while self._wait_until_wanted():
                child = self._spawn(output)
                if child is None:
                    continue
                try:
                    child.wait(LONGEST_BACKOFF_SECONDS)
                except subprocess.TimeoutExpired:
                    backoff = FIRST_BACKOFF_SECONDS  # it lived a while: the next death is a new one
                    child.wait()
                with self._changed:
                    self._child = None
                    self._changed.notify_all()
                    if self._wanted:
                        self.restarts += 1
                        self._changed.wait_for(lambda: not self._wanted, backoff)
                        backoff = min(backoff * 2, LONGEST_BACKOFF_SECONDS)

    def _wait_until_wanted(self) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted or self._closed)
            return not self._closed

    def _spawn(self, output: BinaryIO) -> subprocess.Popen[bytes] | None:
        """None when `kill` came in between."""
        with self._changed:
            if not self._wanted:
                return None
            # A session of its own: Ctrl-C in a terminal reaches the harness only, which stops them in order.
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            return self._child


def _die_with_parent() -> list[str]:
    """A killed harness leaves nothing behind where the system can see to that (Linux)."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
