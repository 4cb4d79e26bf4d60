"""`fleetpedia up` with simulated members: what it starts lives, comes back, goes on, and ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.controlplane.waiting import wait_until
from tests.e2e.fleet import FLEETPEDIA, Fleet, data_folder, run, start, throw_away

DEMO = ("--demo", "2", "--objects", "300", "--churn", "1")
NAMES = ["eu-west", "us-east"]
ROLES = ("postgres", "aggregator", "simulator", "agent-eu-west", "agent-us-east")
REPLACED_WITHIN = 5.0


@pytest.fixture(scope="module")
def demo() -> Iterator[Fleet]:
    folder, result = start(*DEMO)
    try:
        assert result.code == 0, str(result)
        yield Fleet(folder, json.loads(result.out))
    finally:
        throw_away(folder)


def processes(data: Path) -> list[str]:
    """Commands of living processes that name the folder, and of database processes that work in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            place = os.readlink(entry / "cwd")
        except OSError:
            continue
        if f"{data}/" in f"{command} " or f"{data} " in command or place.startswith(str(data)):
            found.append(f"{entry.name}: {command}")
    return [text for text in found if "pytest" not in text]


def objects(fleet: Fleet) -> int:
    return int(fleet.run("search", "kind:deployment", "--count").out)


def test_it_says_how_far_each_member_is_and_then_only_the_line_on_stdout() -> None:
    folder, result = start(*DEMO)
    try:
        assert result.code == 0, str(result)
        assert list(json.loads(result.out)) == ["url", "kubeconfig", "token_file", "ca_file", "data", "clusters"]
        assert result.out.count("\n") == 1
        for name in NAMES:
            assert re.search(rf"{name} +Ready +\d+ objects, (\d+) of \1 types in sync: ", result.err), result.err
        assert f"kubectl --kubeconfig {folder}/kubeconfig get pods -A" in result.err
        # In sync is so now, not as it was some time ago.
        status = run(FLEETPEDIA, "status", "--data", folder, "-o", "json").json()
        assert {cluster["phase"] for cluster in status["clusters"]} == {"Ready"}
    finally:
        throw_away(folder)


@pytest.mark.parametrize("role", ROLES)
def test_what_is_killed_is_replaced_in_time_and_nothing_is_lost(demo: Fleet, role: str) -> None:
    before = demo.pid("up")
    old = demo.kill9(role)
    demo.wait_replaced(role, old, timeout=REPLACED_WITHIN)
    demo.verify()
    assert demo.pid("up") == before
    assert (demo.data / "endpoint").read_text().strip() == demo.url, "the port is kept"


def test_pid_files_name_the_processes_themselves(demo: Fleet) -> None:
    for role in ROLES:
        command = Path(f"/proc/{demo.pid(role)}/cmdline").read_text()
        assert role.split("-")[0].replace("agent", "agent.main") in command
    line = Path(demo.data / "postgres" / "postmaster.pid").read_text().splitlines()[0]
    assert int(line) == demo.pid("postgres")


def test_the_folder_is_passable_for_root_alone_and_its_files_are_private(demo: Fleet) -> None:
    assert demo.data.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)
    for file in demo.data.rglob("*"):
        if file.is_file() and demo.data / "postgres" not in file.parents:
            assert file.stat().st_mode & 0o077 == 0, file


def test_the_kubeconfig_has_contexts_of_every_cluster(demo: Fleet) -> None:
    content = yaml.safe_load(demo.kubeconfig.read_text())
    assert content["current-context"] == "fleet"
    names = {context["name"] for context in content["contexts"]}
    assert names == {"fleet", "flat", *NAMES, *(f"fleet/{name}" for name in NAMES)}


def test_status_names_what_runs_and_the_database_that_psql_opens(demo: Fleet) -> None:
    answer = demo.run("status", "-o", "json").json()
    assert {entry["name"] for entry in answer["processes"] if entry["running"]} == {"up", *ROLES}
    assert demo.sql("select count(*) from fleet.objects where cluster = 'eu-west'")[0][0] > 100
    psql = run("psql", answer["database"], "-Atc", "select 1")
    assert psql.out == "1\n", str(psql)


def test_a_second_up_on_the_folder_is_refused(demo: Fleet) -> None:
    _, result = start(*DEMO, data=demo.data, timeout=20)
    assert result.code == 1
    assert str(demo.pid("up")) in result.err


def test_a_renamed_and_a_removed_cluster_are_followed() -> None:
    folder, result = start(*DEMO)
    try:
        fleet = Fleet(folder, json.loads(result.out))
        fleet.run("clusters", "rename", "eu-west", "europe")
        assert "fleet/europe" in fleet.kubeconfig.read_text()
        wait_until((folder / "run" / "agent-europe.pid").exists, "its agent has the new name", timeout=15)
        fleet.verify("--cluster", "europe")
        fleet.run("clusters", "remove", "us-east")
        wait_until(lambda: not (folder / "run" / "agent-us-east.pid").exists(), "its agent ends", timeout=15)
        assert "us-east" not in fleet.kubeconfig.read_text()
        rotated = fleet.run("clusters", "rotate", "europe").out.strip()
        assert (folder / "agents" / "europe" / "token").read_text().strip() == rotated
        fleet.verify()
    finally:
        throw_away(folder)


def test_down_ends_every_process_and_the_next_up_goes_on_without_arguments() -> None:
    folder, result = start(*DEMO)
    try:
        fleet = Fleet(folder, json.loads(result.out))
        uids = {name: fleet.cluster(name)["uid"] for name in NAMES}
        count = objects(fleet)
        down = fleet.down()
        assert down.code == 0, str(down)
        assert processes(folder) == []
        assert not (folder / "endpoint").exists()
        _, again = start(data=folder)
        assert again.code == 0, str(again)
        fleet = Fleet(folder, json.loads(again.out))
        assert {name: fleet.cluster(name)["uid"] for name in NAMES} == uids
        assert objects(fleet) == count
        fleet.verify()
    finally:
        throw_away(folder)


def test_a_supervisor_that_is_killed_takes_everything_with_it_and_the_next_one_begins_clean() -> None:
    folder, result = start(*DEMO)
    try:
        assert result.code == 0, str(result)
        fleet = Fleet(folder, json.loads(result.out))
        fleet.kill9("up")
        _, again = start(data=folder)
        assert again.code == 0, str(again)
        Fleet(folder, json.loads(again.out)).verify()
        assert len([text for text in processes(folder) if "agent.main" in text]) == 2
        Fleet(folder, json.loads(again.out)).kill9("up")
        wait_until(lambda: not processes(folder), "nothing is left", timeout=20, explain=lambda: str(processes(folder)))
        # What did not end by itself would be ended by `down`.
        assert run(FLEETPEDIA, "down", "--data", folder).code == 0
    finally:
        throw_away(folder)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_a_signal_ends_it_cleanly(how: signal.Signals) -> None:
    folder = data_folder()
    try:
        running = subprocess.Popen(
            [FLEETPEDIA, "up", "--data", folder, "--demo", "1", "--objects", "100"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        ready = folder / "run" / "agent-eu-west.pid"
        wait_until(lambda: ready.exists() or running.poll() is not None, "the agent runs", timeout=60)
        begun = time.monotonic()
        running.send_signal(how)
        out, err = running.communicate(timeout=60)
        assert running.returncode == 0, err
        assert time.monotonic() - begun < 20
        assert out == ""
        assert processes(folder) == []
    finally:
        throw_away(folder)
