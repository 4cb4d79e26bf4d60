"""A Postgres for one command: `prepare` a data folder, then run its `command` in the foreground.

Who runs it supervises it (aggregator.supervise); here is what must be true before each start, also after kill -9: no
process of an earlier life is left, no lock file names a process number that is another's by now. It listens on a Unix
socket only, which only its own user (and root) may open."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from aggregator.files import write_private
from aggregator.storage.binaries import Binaries, choose
from schema.errors import Unprocessable

_SOCKET: Final = ".s.PGSQL.5432"
_LONGEST_SOCKET: Final = 107
"""What the kernel takes for the path of a Unix socket."""
STOP_SIGNAL: Final = signal.SIGINT
"""Fast shutdown: open transactions are rolled back, the data is written out."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Account:
    """Whom the server runs as. None of it is needed where we are not root."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True)
class Embedded:
    """A prepared server: run `command` (as `account`, where given), stop it with STOP_SIGNAL. `url` is a libpq URL."""

    command: tuple[str, ...]
    url: str
    folder: Path
    account: Account | None
    major: int

    def environment(self) -> dict[str, str]:
        """This process's without PG…: the person's settings for psql are not the server's."""
        return _environment()

    def is_ready(self) -> bool:
        """True once it takes connections: Postgres says so in the last line of its pid file."""
        try:
            return (self.folder / "postmaster.pid").read_text().rstrip().endswith("ready")
        except FileNotFoundError:
            return False


def prepare(data: Path, say: Say = lambda _: None, *, patience: float = 30.0) -> Embedded:
    """Make `data`/postgres ready to start: create it the first time, clear what a killed life left behind.

    Call it before every start, holding the lock of `data`. `patience`: seconds that a server which still runs gets to
    shut down. `say` is told what takes time or is changed. Raises Unprocessable with what to do."""
    folder = data / "postgres"
    clear_leftovers(folder, patience)
    version = folder / "PG_VERSION"
    binaries = choose(int(version.read_text()) if version.exists() else None)
    account = _account(folder)
    if account:
        _make_reachable([data, binaries.folder], account, say)
    if not version.exists():
        if folder.exists() and any(folder.iterdir()):
            raise Unprocessable(f"{folder} is not empty and holds no Postgres data; move it away")
        say(f"creating the database with Postgres {binaries.major} from {binaries.folder}")
        _create(folder, binaries, account)
    sockets = _socket_folder(data, account)
    _configure(folder, sockets, binaries, account)
    command = (str(binaries.folder / "postgres"), "-D", str(folder))
    return Embedded(command, _url(sockets), folder, account, binaries.major)


def socket_url(data: Path) -> str:
    """The URL of the server of `data`, as prepared last."""
    remembered = data / "run" / "socket-folder"
    return _url(Path(remembered.read_text().strip()) if remembered.exists() else data / "run" / "socket")


def _url(sockets: Path) -> str:
    return f"postgresql://postgres@/postgres?host={quote(str(sockets))}&port=5432"


def clear_leftovers(folder: Path, patience: float = 30.0) -> None:
    """End every server process that works in `folder`, then remove lock files that have no process any more."""
    if not folder.exists():
        return
    postmaster = _postmaster(folder)
    if postmaster in _processes(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(postmaster, STOP_SIGNAL)
        _wait_gone(folder, patience)
    # Without a postmaster, its children end by themselves once they look; one in a long statement does not look.
    for last_signal, seconds in ((signal.SIGQUIT, 1.5), (signal.SIGKILL, 10.0)):
        left = _processes(folder)
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, last_signal)
        _wait_gone(folder, seconds)
    if _processes(folder):
        raise Unprocessable(f"Postgres processes {sorted(_processes(folder))} work in {folder} and cannot be stopped")
    if Path("/proc/self/cwd").exists():  # else we do not know, and Postgres decides by itself
        (folder / "postmaster.pid").unlink(missing_ok=True)


def _postmaster(folder: Path) -> int:
    """Its pid by its own file; 0 where there is none."""
    try:
        return int((folder / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return 0


def _processes(folder: Path) -> set[int]:
    """Pids of programs named postgres whose working folder is `folder`: what a server and its children look like."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "comm").read_text() == "postgres\n" and os.path.samefile(entry / "cwd", folder):
                found.add(int(entry.name))
        except OSError:  # ended meanwhile, or another user's
            continue
    return found


def _wait_gone(folder: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while _processes(folder) and time.monotonic() < deadline:
        time.sleep(0.05)


def _account(folder: Path) -> Account | None:
    """Postgres refuses to run as root: then it is the data's owner, else `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        if folder.exists() and folder.stat().st_uid != os.geteuid():
            raise Unprocessable(f"{folder} belongs to user {folder.stat().st_uid}; run as that user or as root")
        return None
    owner = folder.stat().st_uid if folder.exists() else 0
    if owner:
        entry = pwd.getpwuid(owner)
        return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid, entry.pw_name)
    raise Unprocessable(
        "Postgres does not run as root, and there is neither a user `postgres` nor `nobody` here; "
        "create one (useradd --system postgres), or run as another user"
    )


def _make_reachable(targets: Iterable[Path], account: Account, say: Say) -> None:
    """Let the account pass (not read) the folders above what it must reach; /root, say, is closed to all others."""
    for target in targets:
        for folder in reversed([target, *target.parents]):
            mode = folder.stat()
            if not _may_pass(mode, account):
                folder.chmod(stat.S_IMODE(mode.st_mode) | 0o001)
                say(f"{folder}: other users may now pass (not list) it, so that Postgres, as {account.name}, can")


def _may_pass(mode: os.stat_result, account: Account) -> bool:
    if mode.st_uid == account.uid:
        return bool(mode.st_mode & 0o100)
    if mode.st_gid == account.gid:
        return bool(mode.st_mode & 0o010)
    return bool(mode.st_mode & 0o001)


def _create(folder: Path, binaries: Binaries, account: Account | None) -> None:
    """initdb beside the final place: a start that is cut off leaves no half-made data."""
    unfinished = folder.with_name(f"{folder.name}.new")
    clear_leftovers(unfinished, patience=0)
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    _give(unfinished, account)
    made = subprocess.run(
        [
            *(str(binaries.folder / "initdb"), "-D", str(unfinished), "-U", "postgres"),
            *("--auth=trust", "--encoding=UTF8", "--no-locale"),  # the socket's own mode guards it
        ],
        capture_output=True,
        text=True,
        cwd="/",
        env=_environment(),
        check=False,
        **(drop(account)),  # type: ignore[call-overload]
    )
    if made.returncode:
        raise Unprocessable(f"initdb of {binaries.folder} failed: {(made.stderr or made.stdout).strip()}")
    with (unfinished / "postgresql.conf").open("a") as settings:
        settings.write(
            "\ninclude_if_exists = 'fleetpedia.conf'  # rewritten at each start; ALTER SYSTEM wins over it\n"
        )
    if folder.exists():
        folder.rmdir()
    unfinished.rename(folder)


def drop(account: Account | None) -> dict[str, object]:
    """Arguments of subprocess that leave root behind."""
    return {"user": account.uid, "group": account.gid, "extra_groups": ()} if account else {}


def _socket_folder(data: Path, account: Account | None) -> Path:
    """In the data folder where its path is short enough, else one in /tmp that is remembered."""
    folder = data / "run" / "socket"
    if len(os.fsencode(folder / _SOCKET)) > _LONGEST_SOCKET:
        folder = _remembered(data / "run" / "socket-folder")
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    folder.chmod(0o711)
    _give(folder, account)
    for leftover in (_SOCKET, f"{_SOCKET}.lock"):
        (folder / leftover).unlink(missing_ok=True)
    return folder


def _remembered(file: Path) -> Path:
    """A folder of ours in /tmp; one that somebody else put there instead is not used."""
    if file.exists():
        folder = Path(file.read_text().strip())
        owners = (os.geteuid(), (file.parent.parent / "postgres").stat().st_uid)
        if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid in owners:
            return folder
    folder = Path(tempfile.mkdtemp(prefix="fleetpedia-", dir="/tmp"))
    file.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    write_private(file, f"{folder}\n")
    return folder


def _configure(folder: Path, sockets: Path, binaries: Binaries, account: Account | None) -> None:
    lines = [f"{name} = '{value}'" for name, value in _settings(sockets, binaries).items()]
    path = folder / "fleetpedia.conf"
    write_private(path, "\n".join(["# Written at each start. Change settings with ALTER SYSTEM.", *lines, ""]))
    _give(path, account)
    with contextlib.suppress(FileNotFoundError):
        _give(folder / "postgresql.conf", account)


def _settings(sockets: Path, binaries: Binaries) -> dict[str, str]:
    """Durable; sized for a machine that does other things as well."""
    memory = _memory_mb()
    shared = max(64, min(512, memory // 16))
    settings = {
        "listen_addresses": "",
        "port": "5432",
        "unix_socket_directories": str(sockets).replace("'", "''"),
        "unix_socket_permissions": "0700",
        "max_connections": "60",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(256, memory // 3)}MB",
        "work_mem": "16MB",
        "maintenance_work_mem": f"{max(64, min(256, memory // 32))}MB",
        "wal_level": "replica",
        "max_wal_senders": "0",
        "max_wal_size": "2GB",
        "min_wal_size": "128MB",
        "checkpoint_timeout": "10min",
        "random_page_cost": "1.1",
        "jit": "off",
        "autovacuum": "on",
        "autovacuum_naptime": "20s",
        "autovacuum_vacuum_cost_limit": "1000",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] ",
        "log_min_error_statement": "panic",  # statements carry objects; they are not for a log
        "log_parameter_max_length": "0",
        "log_error_verbosity": "terse",
        "log_checkpoints": "off",
        "log_destination": "stderr",
        "logging_collector": "off",
    }
    if binaries.has_lz4:
        settings |= {"wal_compression": "lz4", "default_toast_compression": "lz4"}
    return settings


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // (1 << 20)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _give(path: Path, account: Account | None) -> None:
    if account:
        os.chown(path, account.uid, account.gid)
