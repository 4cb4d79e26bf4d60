"""Verbs that run things on this machine: `up`, `down`, `serve`, `migrate`, `version`."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from dataclasses import fields

from aggregator import cli
from aggregator.supervise.folder import DataFolder, Demo
from schema.errors import BadRequest, FleetpediaError, Unprocessable

_LARGEST_DEMO = 1000


def up(options: argparse.Namespace) -> int:
    from aggregator.supervise import up as upward
    from aggregator.supervise.detach import detached
    from aggregator.supervise.listen import ANYWHERE, choose_address, parse_address
    from aggregator.supervise.members import named_members
    from aggregator.supervise.report import Console, Report

    folder = DataFolder.of(options.data)
    named = options.kubeconfig or options.context or options.all_contexts
    chosen = upward.Options(
        folder=folder,
        members=named_members(options.kubeconfig, options.context, options.all_contexts) if named else (),
        demo=_demo(options),
        listen=parse_address(options.listen) if options.listen else ANYWHERE,
        database=_database(options.database),
        serve=_handed_on(options),
        timeout=_positive(options.timeout, "--timeout"),
    )
    folder.create()
    if folder.is_held():
        with folder.locked():  # raises, naming who has it
            pass
    choose_address(chosen.listen, 0)  # a port in use is said before anything leaves the terminal
    console = Console(json_line=options.json)

    def body(report: Report) -> int:
        try:
            return upward.run(chosen, report)
        except (FleetpediaError, OSError) as error:
            from aggregator.cli.failures import explained

            text, code = explained(error)
            report.ready(code, f"fleetpedia: {text}", "")
            return code

    return detached(folder.log / "up.log", body, console) if options.detach else body(console)


def _demo(options: argparse.Namespace) -> Demo | None:
    if options.demo is None:
        for name in ("objects", "churn", "seed"):
            if getattr(options, name) is not None:
                raise BadRequest(f"--{name} is about simulated members; say how many with --demo N")
        return None
    if not 1 <= options.demo <= _LARGEST_DEMO:
        raise BadRequest(f"--demo {options.demo}: must be 1 to {_LARGEST_DEMO}")
    given = {
        name: getattr(options, name) for name in ("objects", "churn", "seed") if getattr(options, name) is not None
    }
    if given.get("objects", 1) < 1 or given.get("churn", 0) < 0:
        raise BadRequest("--objects must be at least 1 and --churn not negative")
    return Demo(clusters=options.demo, **given)


def _database(given: str | None) -> str:
    url = given or os.environ.get("FLEETPEDIA_DATABASE", "")
    if url and not url.startswith(("postgresql://", "postgres://")):
        raise BadRequest("--database: must be a URL like postgresql://user@host/name")
    return url


def _handed_on(options: argparse.Namespace) -> tuple[str, ...]:
    """Checked here, so that a mistake is said at once and not by a process in the background."""
    from aggregator import settings
    from aggregator.cli.parser import HANDED_ON

    flags = {setting.name: setting.metadata["flag"] for setting in fields(settings.Settings)}
    given = {name: getattr(options, name) for name, flag in flags.items() if flag in HANDED_ON}
    settings.read(given, environment={})
    return tuple(word for name, value in given.items() if value is not None for word in (flags[name], value))


def _positive(seconds: float, flag: str) -> float:
    if not 0 < seconds < float("inf"):
        raise BadRequest(f"{flag} {seconds:g}: must be more than 0 seconds")
    return seconds


def down(options: argparse.Namespace) -> int:
    from aggregator.storage.embedded import clear_leftovers
    from aggregator.supervise.leftovers import end_leftovers

    folder = DataFolder.of(options.data)
    deadline = time.monotonic() + _positive(options.timeout, "--timeout")
    was_running = folder.is_held()
    while folder.is_held():
        if time.monotonic() > deadline:
            raise Unprocessable(f"process {folder.supervisor()} did not end in {options.timeout:g} s; try again")
        pid = folder.supervisor()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        _wait_let_go(folder, min(deadline, time.monotonic() + 10))
    left = []
    if folder.run.exists():
        with folder.locked():  # an `up` that was killed leaves processes behind
            left = end_leftovers(folder)
            clear_leftovers(folder.path / "postgres")
            folder.pid_file("postgres").unlink(missing_ok=True)
            folder.endpoint.unlink(missing_ok=True)
    if not was_running and not left:
        print(f"nothing runs on {folder.path}", file=sys.stderr)
    return cli.GOOD


def _wait_let_go(folder: DataFolder, deadline: float) -> None:
    while folder.is_held() and time.monotonic() < deadline:
        time.sleep(0.05)


def serve(options: argparse.Namespace) -> int:
    from aggregator import settings

    values = {setting.name: getattr(options, setting.name) for setting in fields(settings.Settings)}
    values["data"] = str(DataFolder.of(options.data).path)
    chosen = settings.read(values)
    if not chosen.database:
        raise BadRequest("serve needs --database postgresql://…; `fleetpedia up` brings a Postgres of its own")
    from aggregator.main import serve as serve_for_ever

    return serve_for_ever(chosen)


def migrate(options: argparse.Namespace) -> int:
    import asyncio

    from aggregator.storage.migrate import migrate as upgrade
    from aggregator.storage.migrate import schema_state
    from aggregator.supervise.status import database_url

    url = _database(options.database) or database_url(DataFolder.of(options.data))
    if not url:
        raise BadRequest("no database: give --database postgresql://…, or the --data folder of a running `up`")
    if options.check:
        state = asyncio.run(schema_state(url))
        print(f"schema {state.current or 'none'}, this version needs {state.head}")
        return cli.GOOD if state.is_current else cli.NEGATIVE
    before = asyncio.run(upgrade(url))
    print(f"schema {before.head}" if before.is_current else f"schema {before.current or 'none'} -> {before.head}")
    return cli.GOOD


def version(options: argparse.Namespace) -> int:
    from importlib.metadata import version as installed

    print(f"fleetpedia {installed('fleetpedia')}")
    return cli.GOOD
