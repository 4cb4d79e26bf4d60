"""`fleetpedia up`: Postgres, the aggregator, one agent per member and a simulator on this machine, until it is stopped.

Order of a start: Postgres, aggregator, members registered, agents; of a stop: the other way round."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from aggregator.certificates import ensure_certificates
from aggregator.client import ApiError, Client, UnreachableError
from aggregator.storage import embedded
from aggregator.supervise import fleet
from aggregator.supervise.child import PYTHON, Child, Program
from aggregator.supervise.folder import DataFolder, Demo, Member, State
from aggregator.supervise.leftovers import end_leftovers
from aggregator.supervise.listen import ANYWHERE, Address, choose_address
from aggregator.supervise.logs import keep_trimmed
from aggregator.supervise.members import demo_names
from aggregator.supervise.report import Report
from schema.errors import BadRequest, Unprocessable

log = logging.getLogger(__name__)
_POLL_SECONDS: Final = 0.5
_FOLLOW_SECONDS: Final = 3.0
_START_SECONDS: Final = 120.0
_AGENT_PAUSE: Final = 1.0
"""Before an agent that died is started again: one that cannot live must not keep a machine busy."""
_HOPELESS: Final = 4
"""Deaths of a process that has never been ready, after which a start is given up."""


@dataclass(frozen=True)
class Options:
    """`members` and `demo`: named by this command; neither: those of the folder's last `up` go on. `serve`: further
    arguments for the aggregator. `timeout`: seconds until a start counts as failed."""

    folder: DataFolder
    members: tuple[Member, ...] = ()
    demo: Demo | None = None
    listen: Address = ANYWHERE
    database: str = ""
    serve: tuple[str, ...] = ()
    timeout: float = 600.0


def run(options: Options, report: Report) -> int:
    """Returns the exit code when it was stopped. Raises FleetpediaError for a start that cannot be."""
    with options.folder.locked():
        _log_to(options.folder.log / "up.log")
        return asyncio.run(_Up(options, report).run())


class _Up:
    def __init__(self, options: Options, report: Report):
        self.options = options
        self.folder = options.folder
        self.report = report
        self.state = _continued(options)
        self.address = choose_address(options.listen, self.state.port)
        self.url = self.address.url
        self.database = options.database
        self.stages: list[list[Child]] = [[], [], [], []]
        """Postgres; simulator; aggregator; agents: ended from the back."""
        self.agents: dict[str, Child] = {}
        self._uids: dict[str, str] = {}
        self._stopped = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._stopped.set)
        self._clear()
        background = [asyncio.create_task(keep_trimmed(self.folder.log))]
        try:
            await self._unless_stopped(self._start())
            background.append(asyncio.create_task(self._follow()))
            await self._stopped.wait()
            self.report.say("stopping")
        finally:
            for task in background:
                task.cancel()
            await self._stop()
        return 0

    def _clear(self) -> None:
        """No file may say that something is ready which is not."""
        self.folder.endpoint.unlink(missing_ok=True)
        ended = end_leftovers(self.folder)
        if ended:
            self.report.say(f"ended {len(ended)} processes of an `up` that was killed")

    async def _unless_stopped(self, start: Awaitable[None]) -> None:
        """A start that is interrupted is given up at once."""
        starting = asyncio.ensure_future(start)
        stopped = asyncio.ensure_future(self._stopped.wait())
        await asyncio.wait([starting, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not starting.done():
            starting.cancel()
            await asyncio.wait([starting])
            return
        await starting

    # -- start ----------------------------------------------------------------------------------------------------
    async def _start(self) -> None:
        begun = time.monotonic()
        self.folder.remember(
            msgspec.structs.replace(self.state, port=self.address.port, database=self.options.database)
        )
        if self.state.demo:
            self._keep(1, "simulator", self._simulator)
        if not self.database:
            await self._start_postgres()
        await self._start_aggregator()
        members = _members(self.state, self.folder)
        await self._register(members)
        for member in members:
            self._start_agent(member)
        await self._wait_in_sync([member.name for member in members], begun)

    async def _start_postgres(self) -> None:
        self.report.say("starting Postgres")
        server = await asyncio.to_thread(embedded.prepare, self.folder.path, self.report.say)
        self.database = server.url
        prepared: list[embedded.Embedded] = [server]

        async def program() -> Program:
            ready = (
                prepared.pop() if prepared else await asyncio.to_thread(embedded.prepare, self.folder.path, patience=2)
            )
            return Program(
                name="postgres",
                command=ready.command,
                log=self.folder.log / "postgres.log",
                environment=ready.environment(),
                account=ready.account,
                stop_signal=embedded.STOP_SIGNAL,
                stop_seconds=60.0,
            )

        child = self._keep(0, "postgres", program)
        await self._until(server.is_ready, child)

    async def _start_aggregator(self) -> None:
        self.report.say(f"starting the aggregator at {self.url}")
        certificates = await asyncio.to_thread(ensure_certificates, self.folder.path, [self.address.host])
        self.folder.admin_token()
        command = [*PYTHON, "aggregator.cli", "serve", "--data", str(self.folder.path), "--listen", str(self.address)]
        command += ["--tls-cert", str(certificates.cert), "--tls-key", str(certificates.key), *self.options.serve]

        async def program() -> Program:
            # The database's URL may hold a password, and everybody may read commands.
            return Program(
                name="aggregator",
                command=tuple(command),
                log=self.folder.log / "aggregator.log",
                environment=os.environ | {"FLEETPEDIA_DATABASE": self.database},
            )

        child = self._keep(2, "aggregator", program)
        await self._until(self._is_ready, child)
        from aggregator.files import write_private

        fleet.rewrite_kubeconfig(self.folder, self.url, [])
        write_private(self.folder.endpoint, f"{self.url}\n")

    async def _simulator(self) -> Program:
        demo = self.state.demo
        assert demo is not None
        home = self.folder.path / "simulator"
        home.mkdir(mode=0o700, exist_ok=True)
        names = ",".join(demo_names(demo.clusters))
        command = [*PYTHON, "simulator", "--clusters", str(demo.clusters), "--names", names, "--seed", str(demo.seed)]
        command += [
            "--objects",
            str(demo.objects),
            "--churn",
            str(demo.churn),
            "--kubeconfig",
            str(home / "kubeconfig"),
        ]
        return Program("simulator", tuple(command), self.folder.log / "simulator.log")

    async def _register(self, members: tuple[Member, ...]) -> None:
        client = self._client()
        while True:
            try:
                await asyncio.to_thread(fleet.register, client, self.folder, members)
                break
            except UnreachableError as error:  # it has died meanwhile and is being started again
                log.warning("%s", error)
                await asyncio.sleep(_POLL_SECONDS)
        await self._rewrite_kubeconfig()

    def _start_agent(self, member: Member) -> None:
        command = [
            *PYTHON,
            "agent.main",
            "--server",
            self.url,
            "--token-file",
            str(self.folder.agent_token(member.name)),
        ]
        command += ["--ca-file", str(self.folder.ca), "--kubeconfig", member.kubeconfig, "--context", member.context]
        log_file = self.folder.log / f"agent-{member.name}.log"

        async def program() -> Program:
            return Program(f"agent-{member.name}", tuple(command), log_file)

        self.agents[member.name] = self._keep(3, f"agent-{member.name}", program, pause=_AGENT_PAUSE)

    async def _wait_in_sync(self, names: list[str], begun: float) -> None:
        """Report how far the members are, until all are in sync or time is over; both end the start."""
        heard_since = time.monotonic()
        missing: dict[str, str] = dict.fromkeys(names, "not asked yet")
        while missing and time.monotonic() - begun < self.options.timeout:
            try:
                found = await asyncio.to_thread(fleet.views, self._client())
            except (UnreachableError, ApiError) as error:
                missing = dict.fromkeys(names, fleet.message(error))
            else:
                views = {view["name"]: view for view in found}
                self._uids = {name: str(view.get("uid") or "") for name, view in views.items()}
                self.report.progress([views[name] for name in names if name in views])
                elapsed = time.monotonic() - heard_since
                reasons = {name: fleet.why_not_in_sync(views.get(name), elapsed) for name in names}
                missing = {name: self._reason(name, reason) for name, reason in reasons.items() if reason}
            if missing:
                await asyncio.sleep(_POLL_SECONDS)
        code = 1 if missing else 0
        self.report.ready(code, self._summary(names, missing, begun), self._line(names))

    def _reason(self, name: str, reason: str) -> str:
        """The agent's own words where it does not stay alive."""
        child = self.agents.get(name)
        return f"its agent {child.problem}" if child and child.restarts and not child.pid else reason

    def _summary(self, names: list[str], missing: dict[str, str], begun: float) -> str:
        seconds = time.monotonic() - begun
        if missing:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in missing.items())
            return (
                f"not in sync after {seconds:.0f} s:\n{reasons}\nEverything goes on running: `fleetpedia status "
                f"--data {self.folder.path}` shows how it stands, `fleetpedia down --data {self.folder.path}` stops it."
            )
        return summary(self.folder, self.url, names, seconds)

    def _line(self, names: list[str]) -> str:
        return json.dumps(
            {
                "url": self.url,
                "kubeconfig": str(self.folder.kubeconfig),
                "token_file": str(self.folder.token_file),
                "ca_file": str(self.folder.ca),
                "data": str(self.folder.path),
                "clusters": names,
            }
        )

    # -- while it runs ----------------------------------------------------------------------------------------------
    async def _follow(self) -> None:
        """Members that are renamed or removed at the aggregator are so here as well."""
        while True:
            await asyncio.sleep(_FOLLOW_SECONDS)
            try:
                found = await asyncio.to_thread(fleet.views, self._client())
            except (UnreachableError, ApiError) as error:
                log.info("clusters are not looked at: %s", fleet.message(error))
                continue
            names = {view["name"] for view in found}
            by_uid = {str(view["uid"]): str(view["name"]) for view in found if view.get("uid")}
            for name in [name for name in self.agents if name not in names and name in self._uids]:
                await self._gone(name, by_uid.get(self._uids[name], ""))
            known = {str(view["name"]): str(view.get("uid") or "") for view in found}
            if known != self._uids:
                self._uids = known
                await self._rewrite_kubeconfig()

    async def _gone(self, name: str, renamed: str) -> None:
        child = self.agents.pop(name)
        await child.stop()
        self.stages[3].remove(child)
        members = [member for member in self.state.members if member.name != name]
        old = next((member for member in _members(self.state, self.folder) if member.name == name), None)
        if renamed and old:
            log.info("cluster %s is now called %s", name, renamed)
            self.folder.agent_token(name).parent.rename(self.folder.agent_token(renamed).parent)
            member = msgspec.structs.replace(old, name=renamed)
            members.append(member)
            self._start_agent(member)
        else:
            log.info("cluster %s was removed", name)
            self.folder.agent_token(name).unlink(missing_ok=True)
        self.state = msgspec.structs.replace(self.state, members=tuple(members), port=self.address.port)
        self.folder.remember(self.state)

    async def _rewrite_kubeconfig(self) -> None:
        found = await asyncio.to_thread(fleet.views, self._client())
        names = [view["name"] for view in found]
        fleet.rewrite_kubeconfig(self.folder, self.url, names)

    # -- stop ---------------------------------------------------------------------------------------------------------
    async def _stop(self) -> None:
        self.folder.endpoint.unlink(missing_ok=True)
        for stage in reversed(self.stages):
            await asyncio.gather(*(child.stop() for child in stage))

    # -- small parts --------------------------------------------------------------------------------------------------
    def _keep(self, stage: int, name: str, program: Callable[[], Awaitable[Program]], pause: float = 0.1) -> Child:
        child = Child(name, program, self.folder.pid_file(name), first_pause=pause)
        self.stages[stage].append(child)
        child.start()
        return child

    async def _until(self, true: Callable[[], bool], child: Child) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not await asyncio.to_thread(true):
            if child.restarts >= _HOPELESS:
                raise Unprocessable(f"{child.name} does not start: it {child.problem} (log: {self.folder.log})")
            if time.monotonic() > deadline:
                raise Unprocessable(f"{child.name} is not ready after {_START_SECONDS:.0f} s (log: {self.folder.log})")
            await asyncio.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            self._client().request("GET", "/readyz", timeout=5)
        except (UnreachableError, ApiError):
            return False
        return True

    def _client(self) -> Client:
        return Client(self.url, self.folder.admin_token(), str(self.folder.ca))


def _continued(options: Options) -> State:
    """What this start runs: what was named now, else what the last one ran."""
    before = options.folder.state()
    if options.members or options.demo:
        state = State(members=options.members, demo=options.demo, port=before.port)
    else:
        state = before
    names = [member.name for member in _members(state, options.folder)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadRequest(f"{twice[0]!r} is a simulated member's name; give your own another: --context CONTEXT=NAME")
    return state


def _members(state: State, folder: DataFolder) -> tuple[Member, ...]:
    kubeconfig = str(folder.path / "simulator" / "kubeconfig")
    names = demo_names(state.demo.clusters) if state.demo else []
    return (*(Member(name, kubeconfig, name) for name in names), *state.members)


def summary(folder: DataFolder, url: str, names: list[str], seconds: float) -> str:
    """What a person sees when all is in sync."""
    at = "" if folder == DataFolder.of(None) else f" --data {folder.path}"
    program = Path(sys.argv[0])
    fleetpedia = str(program) if program.name == "fleetpedia" else "fleetpedia"
    if not names:
        return (
            f"fleetpedia runs at {url}, without members yet; data folder {folder.path}\n"
            f"  {fleetpedia} up{at} --kubeconfig FILE --context CONTEXT    runs it with a cluster of yours\n"
            f"  {fleetpedia} up{at} --demo 3                               runs it with simulated ones"
        )
    return (
        f"\nfleetpedia is ready: {len(names)} {'cluster' if len(names) == 1 else 'clusters'} in sync after "
        f"{seconds:.0f} s\n"
        f"  address      {url}\n"
        f"  data folder  {folder.path}\n"
        "try\n"
        f"  kubectl --kubeconfig {folder.kubeconfig} get pods -A\n"
        f"  {fleetpedia} search{at} app=web\n"
        f"  {fleetpedia} verify{at}\n"
    )


def _log_to(file: Path) -> None:
    """Our own log goes to a file in either mode; what a person is to see goes through the report."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    handler = logging.StreamHandler(os.fdopen(handle, "a"))
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    root.addHandler(handler)
