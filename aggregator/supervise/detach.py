"""Leave the terminal: the start is waited for by a process that then ends, the installation lives on without it."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aggregator.supervise.report import Console, Pipe, Report

log = logging.getLogger(__name__)


def detached(log_file: Path, body: Callable[[Report], int], console: Console) -> int:
    """Run `body` in a process of its own session whose output goes to `log_file`. Returns the exit code that it
    reports with `ready`, or its own where it ends before. Call while there is one thread and no event loop."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.close(reading)
        _live(log_file, body, writing)
    os.close(writing)
    os.waitpid(child, 0)
    return _wait(reading, log_file, console)


def _live(log_file: Path, body: Callable[[Report], int], writing: int) -> None:
    """Never returns."""
    code = 1
    try:
        pipe = Pipe(writing)
        _let_go(log_file)
        pipe.process(os.getpid())
        code = body(pipe)
        pipe.close()
    except BaseException:
        log.exception("`up` ends")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _let_go(log_file: Path) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)


def _wait(reading: int, log_file: Path, console: Console) -> int:
    pid = 0
    try:
        with os.fdopen(reading, "rb") as messages:
            for line in messages:
                message: dict[str, Any] = json.loads(line)
                if "pid" in message:
                    pid = message["pid"]
                elif "say" in message:
                    console.say(message["say"])
                elif "progress" in message:
                    console.progress(message["progress"])
                else:
                    code, text, last = message["ready"]
                    console.ready(code, text, last)
                    return int(code)
    except KeyboardInterrupt:
        if pid:
            os.kill(pid, signal.SIGTERM)
        console.say("interrupted: what was started is being stopped")
        return 130
    console.say(f"fleetpedia: `up` ended before it was ready; its last words are in {log_file}")
    return 1
