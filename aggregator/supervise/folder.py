"""The data folder of one installation: what lies where, who holds it, what its last `up` ran."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from aggregator.files import write_private
from schema.errors import Conflict, Unprocessable

ADMIN_TOKEN_BYTES: Final = 32


class Demo(msgspec.Struct, frozen=True):
    """Simulated members. `objects` and `churn` (changes a second) are per member."""

    clusters: int
    objects: int = 1000
    churn: float = 1.0
    seed: int = 1


class Member(msgspec.Struct, frozen=True):
    """A member whose agent runs here: a context of a kubeconfig that stays where it is."""

    name: str
    kubeconfig: str
    context: str


class State(msgspec.Struct, frozen=True):
    """What the last `up` ran, so that the next one without arguments continues it. `port`: 0 = none chosen yet."""

    members: tuple[Member, ...] = ()
    demo: Demo | None = None
    port: int = 0
    database: str = ""


@dataclass(frozen=True)
class DataFolder:
    path: Path

    @classmethod
    def of(cls, given: str | None) -> DataFolder:
        """`given`, else FLEETPEDIA_DATA, else the user's data home."""
        chosen = given or os.environ.get("FLEETPEDIA_DATA")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        return cls((Path(home).expanduser() / "fleetpedia").absolute())

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def log(self) -> Path:
        return self.path / "log"

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def token_file(self) -> Path:
        return self.path / "admin-token"

    @property
    def ca(self) -> Path:
        return self.path / "ca.crt"

    @property
    def endpoint(self) -> Path:
        return self.path / "endpoint"

    def pid_file(self, name: str) -> Path:
        return self.run / f"{name}.pid"

    def agent_token(self, cluster: str) -> Path:
        return self.path / "agents" / cluster / "token"

    def create(self) -> None:
        """As root others may pass: the database runs as another user. What lies in it is private."""
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.path.stat().st_uid == os.geteuid():
            self.path.chmod(0o711 if os.geteuid() == 0 else 0o700)
        self.run.mkdir(mode=0o711, exist_ok=True)
        self.log.mkdir(mode=0o700, exist_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Held by the one `up` of this folder for its whole life; let go by the system when it dies, however it dies.

        Raises Conflict that names the process which has it."""
        handle = os.open(self.run / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict(
                    f"process {self.supervisor() or 'unknown'} already runs `fleetpedia up` on {self.path}; stop it "
                    f"with `fleetpedia down --data {self.path}`, or give another --data"
                ) from None
            write_private(self.pid_file("up"), f"{os.getpid()}\n")
            yield
            self.pid_file("up").unlink(missing_ok=True)
        finally:
            os.close(handle)

    def is_held(self) -> bool:
        """True while an `up` runs on this folder."""
        try:
            handle = os.open(self.run / "up.lock", os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def supervisor(self) -> int:
        """Pid of the last `up`; whether it lives says `is_held`. 0: there was none."""
        return read_pid(self.pid_file("up"))

    def admin_token(self) -> str:
        """Made once."""
        if not self.token_file.exists():
            write_private(self.token_file, f"fpa_{secrets.token_urlsafe(ADMIN_TOKEN_BYTES)}\n")
        return self.token_file.read_text().strip()

    def state(self) -> State:
        file = self.path / "up.json"
        try:
            return msgspec.json.decode(file.read_bytes(), type=State)
        except FileNotFoundError:
            return State()
        except msgspec.DecodeError as error:
            raise Unprocessable(f"{file} is damaged: {error}; delete it and name the members anew") from error

    def remember(self, state: State) -> None:
        write_private(self.path / "up.json", msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n")


def read_pid(file: Path) -> int:
    """0 where there is none."""
    try:
        return int(file.read_text())
    except (FileNotFoundError, ValueError):
        return 0
