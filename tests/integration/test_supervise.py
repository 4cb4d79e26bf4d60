"""Real processes: kept running, ended with whoever runs them, never left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from aggregator.supervise.agents import AgentChildren
from aggregator.supervise.child import Child, Program
from aggregator.supervise.folder import DataFolder
from aggregator.supervise.leftovers import end_leftovers, is_of
from aggregator.supervise.logs import trim


async def until(true: Callable[[], object], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 (processes set no events)
            await asyncio.sleep(0.01)


def lives(pid: int) -> bool:
    """A zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@asynccontextmanager
async def kept(folder: Path, code: str, **options: float) -> AsyncIterator[Child]:
    """A Python program that is kept running until the end of the block."""

    async def program() -> Program:
        return Program("it", (sys.executable, "-c", code), folder / "it.log", **options)  # type: ignore[arg-type]

    child = Child("it", program, folder / "it.pid")
    child.start()
    try:
        yield child
    finally:
        await child.stop()


SLEEP = "import time; time.sleep(600)"


async def test_what_is_killed_runs_again_and_its_pid_file_says_which_one(tmp_path: Path) -> None:
    async with kept(tmp_path, SLEEP) as child:
        await until(lambda: child.pid)
        first = child.pid
        assert first
        assert int((tmp_path / "it.pid").read_text()) == first
        os.kill(first, signal.SIGKILL)
        begun = time.monotonic()
        await until(lambda: child.pid not in (None, first))
        assert time.monotonic() - begun < 5
        second = child.pid
        assert int((tmp_path / "it.pid").read_text()) == second
        assert (tmp_path / "it.pid").stat().st_mode & 0o777 == 0o600
    assert second
    assert not lives(second)
    assert not (tmp_path / "it.pid").exists()


async def test_who_never_lives_long_is_started_for_ever_and_its_last_words_are_kept(tmp_path: Path) -> None:
    async with kept(tmp_path, "import sys; print('no luck', file=sys.stderr); sys.exit(3)") as child:
        await until(lambda: child.restarts >= 3)
        assert child.problem == "ended with exit code 3: no luck"


async def test_a_start_that_fails_is_tried_again(tmp_path: Path) -> None:
    tries = 0

    async def program() -> Program:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OSError("not yet")
        return Program("it", (sys.executable, "-c", SLEEP), tmp_path / "it.log")

    child = Child("it", program, tmp_path / "it.pid")
    child.start()
    await until(lambda: child.pid)
    assert tries == 3
    await child.stop()


async def test_who_does_not_heed_is_killed(tmp_path: Path) -> None:
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    )
    async with kept(tmp_path, code, stop_seconds=0.3) as child:
        await until(lambda: (tmp_path / "it.log").exists() and "up" in (tmp_path / "it.log").read_text())
        pid = child.pid
        assert pid
    assert not lives(pid)


async def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    supervisor = textwrap.dedent(f"""
        import asyncio, sys
        from pathlib import Path
        from aggregator.supervise.child import Child, Program

        async def program():
            return Program("it", (sys.executable, "-c", {SLEEP!r}), Path({str(tmp_path / "it.log")!r}))

        async def main():
            Child("it", program, Path({str(tmp_path / "it.pid")!r})).start()
            await asyncio.sleep(600)

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", supervisor)
    await until((tmp_path / "it.pid").exists)
    pid = int((tmp_path / "it.pid").read_text())
    assert lives(pid)
    process.kill()
    await process.wait()
    await until(lambda: not lives(pid))


async def test_leftovers_are_ended_and_strangers_with_a_reused_pid_are_not(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "data")
    folder.create()
    ours = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SLEEP, str(folder.path / "agents" / "a" / "token")
    )
    stranger = await asyncio.create_subprocess_exec(sys.executable, "-c", SLEEP, f"{folder.path}-other")
    await until(lambda: is_of(ours.pid, folder.path))
    folder.pid_file("agent-a").write_text(str(ours.pid))
    folder.pid_file("agent-b").write_text(str(stranger.pid))
    reaped = asyncio.create_task(ours.wait())
    assert await asyncio.to_thread(end_leftovers, folder) == [ours.pid]
    await reaped
    assert stranger.returncode is None
    assert list(folder.run.glob("*.pid")) == []
    stranger.kill()
    await stranger.wait()


def test_a_log_is_cut_and_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "it.log"
    with log.open("ab", buffering=0) as writer:
        writer.write(b"a" * 2000)
        trim(tmp_path, largest=1000)
        writer.write(b"b" * 10)
        trim(tmp_path, largest=1000)
    assert log.read_bytes() == b"b" * 10
    assert (tmp_path / "it.log.1").read_bytes() == b"a" * 2000


DETACHED = """
import os, sys, time
from pathlib import Path
from aggregator.supervise.detach import detached
from aggregator.supervise.report import Console

folder = Path(sys.argv[1])

def lives_on(report):
    report.say("one")
    (folder / "pid").write_text(str(os.getpid()))
    report.ready(0, "text", "line")
    print("to the log", flush=True)
    while not (folder / "end").exists():
        time.sleep(0.02)
    (folder / "ended").touch()
    return 0

def breaks(report):
    raise RuntimeError("broken")

sys.exit(detached(folder / "up.log", globals()[sys.argv[2]], Console(json_line=True)))
"""


def _detach(folder: Path, body: str) -> subprocess.CompletedProcess[str]:
    """Returns when nothing holds stdout and stderr any more."""
    command = [sys.executable, "-c", DETACHED, str(folder), body]
    return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)


async def test_a_detached_start_tells_how_it_went_and_lives_on(tmp_path: Path) -> None:
    done = await asyncio.to_thread(_detach, tmp_path, "lives_on")
    assert (done.returncode, done.stdout, done.stderr) == (0, "line\n", "one\ntext\n")
    pid = int((tmp_path / "pid").read_text())
    assert lives(pid)
    (tmp_path / "end").touch()
    await until((tmp_path / "ended").exists)
    await until(lambda: not lives(pid))
    assert (tmp_path / "up.log").read_text() == "to the log\n"


async def test_a_detached_start_that_breaks_is_a_failure_that_names_the_log(tmp_path: Path) -> None:
    done = await asyncio.to_thread(_detach, tmp_path, "breaks")
    assert done.returncode == 1
    assert str(tmp_path / "up.log") in done.stderr
    assert "RuntimeError: broken" in (tmp_path / "up.log").read_text()


# -- agents beside the aggregator ------------------------------------------------------------------------------------
async def test_agents_follow_the_clusters_that_have_a_kubeconfig(tmp_path: Path) -> None:
    wanted: dict[str, bytes] = {"a": b"one", "b": b"two"}
    asked: list[str] = []

    async def clusters() -> Mapping[str, bytes]:
        return dict(wanted)

    async def credential(name: str) -> str:
        asked.append(name)
        return f"secret of {name}"

    children = AgentChildren(tmp_path, "https://127.0.0.1:1", None, clusters, credential)
    running = asyncio.create_task(children.run())
    folder = tmp_path / "agents" / "a"
    await until((tmp_path / "run" / "agent-b.pid").exists)
    assert (folder / "kubeconfig").read_bytes() == b"one"
    assert (folder / "token").read_text() == "secret of a\n"
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    del wanted["a"]
    await until(lambda: not (folder / "token").exists())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert sorted(asked) == ["a", "b"]
    commands = [file.read_bytes() for file in Path("/proc").glob("[0-9]*/cmdline") if file.exists()]
    assert not any(str(tmp_path).encode() in command for command in commands)
