"""`fleetpedia search|get|clusters|status|verify` without kubectl: what they print and how they end."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path

import pytest
import yaml

from tests.controlplane.plane import ControlPlane
from tests.controlplane.ports import free_port
from tests.e2e.fleet import FLEETPEDIA, Fleet, run

TwoPlanes = tuple[ControlPlane, ControlPlane]
GOOD, NEGATIVE, USAGE, UNREACHABLE = 0, 1, 2, 3


def test_up_answers_what_outside_programs_need(fleet: Fleet) -> None:
    answer = fleet.answer
    assert answer["clusters"] == ["c1", "c2"]
    assert answer["url"].startswith("https://127.0.0.1:")
    assert not answer["url"].endswith("/")
    assert (fleet.data / "endpoint").read_text().strip() == answer["url"]
    for name in ("kubeconfig", "token_file", "ca_file"):
        assert Path(answer[name]).is_file()
    assert Path(answer["data"]).samefile(fleet.data)
    for secret in ("token_file", "kubeconfig"):
        assert stat.S_IMODE(Path(answer[secret]).stat().st_mode) == 0o600
    for role in ("aggregator", "postgres", "agent-c1", "agent-c2"):
        os.kill(fleet.pid(role), 0)


def test_search_prints_a_table_with_the_cluster_of_every_row(world: Fleet, two_planes: TwoPlanes) -> None:
    lines = world.run("search", "app=web kind:pod").lines()
    heads = lines[0].split()
    assert {"CLUSTER", "NAMESPACE", "NAME"} <= set(heads)
    expected = {
        (plane.name, item["metadata"]["name"])
        for plane in two_planes
        for item in plane.api.get("/api/v1/namespaces/world/pods?labelSelector=app%3Dweb")["items"]
    }
    printed = {(words[heads.index("CLUSTER")], words[heads.index("NAME")]) for words in map(str.split, lines[1:])}
    assert printed == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("kind:gadget", {"gadget-0", "gadget-1", "gadget-2"}),
        ("kind:gadget size=1", {"gadget-1"}),
        ("kind:gadget -size=1", {"gadget-0", "gadget-2"}),
        ("name:gadget-*", {"gadget-0", "gadget-1", "gadget-2"}),
        ("ns:world kind:service", {"web", "outside", "elsewhere"}),
        ("ns:wor* kind:cronjob cluster:c1", {"nightly"}),
        ("kind:pod status:CrashLoopBackOff", {"crashing"}),
        ("kind:deployment app=web cluster:c2", {"web"}),
    ],
)
def test_search_understands_the_first_words_of_the_grammar(world: Fleet, query: str, expected: set[str]) -> None:
    items = world.run("search", query, "-o", "json").json()["items"]
    assert {item["name"] for item in items} == expected


def test_search_counts_and_limits(world: Fleet) -> None:
    assert world.run("search", "kind:gadget", "--count").out.strip() == "6"
    limited = world.run("search", "kind:gadget", "--limit", "2", "-o", "json").json()
    assert len(limited["items"]) == 2
    names = world.run("search", "kind:gadget cluster:c1", "-o", "name").lines()
    assert len(names) == 3
    rows = list(csv.DictReader(io.StringIO(world.run("search", "kind:gadget", "-o", "csv").out)))
    assert len(rows) == 6
    assert {row.get("CLUSTER", row.get("cluster")) for row in rows} == {"c1", "c2"}


def test_get_prints_objects_of_all_clusters_or_one(world: Fleet) -> None:
    table = world.run("get", "deploy", "-A").lines()
    assert table[0].split()[:3] == ["NAMESPACE", "CLUSTER", "NAME"] or table[0].split()[0] == "CLUSTER"
    assert sum(line.split().count("web") for line in table[1:]) >= 2
    whole = world.run("get", "deploy", "-n", "world", "--cluster", "c1", "-o", "json").json()
    assert [item["metadata"]["name"] for item in whole["items"]] == ["web"]
    as_yaml = yaml.safe_load(world.run("get", "deploy", "web", "-n", "world", "--cluster", "c2", "-o", "yaml").out)
    assert as_yaml["metadata"]["annotations"]["fleetpedia.io/cluster"] == "c2"
    selected = world.run("get", "pods", "-n", "world", "-l", "app=store", "-o", "name").lines()
    assert len(selected) == 4
    pending = world.run("get", "pods", "-n", "world", "--field-selector", "metadata.name=unschedulable", "-o", "wide")
    assert len(pending.lines()) == 3
    assert len(world.run("get", "gg", "-n", "world", "-o", "name").lines()) == 6


def test_clusters_list_and_get_show_phase_and_version(fleet: Fleet) -> None:
    lines = fleet.run("clusters", "list").lines()
    assert [line.split()[0] for line in lines[1:]] == ["c1", "c2"]
    assert all("Ready" in line.split() for line in lines[1:])
    listed = fleet.run("clusters", "list", "-o", "json").json()
    items = listed["items"] if isinstance(listed, dict) else listed
    assert {item["name"]: item["version"].removeprefix("v")[:4] for item in items} == {"c1": "1.37", "c2": "1.37"}
    assert fleet.run("clusters", "list", "-o", "name").lines() == ["c1", "c2"]
    assert "Ready" in fleet.run("clusters", "get", "c1").out


def test_status_shows_processes_and_clusters(fleet: Fleet) -> None:
    text = fleet.run("status").out
    for word in ("aggregator", "postgres", "agent-c1", "c1", "c2", "Ready"):
        assert word in text
    answer = fleet.run("status", "-o", "json").json()
    assert answer["url"] == fleet.url
    assert fleet.sql("select count(*) from fleet.objects where cluster = 'c1'")[0][0] > 0


def test_verify_says_what_it_proved(world: Fleet) -> None:
    human = world.run("verify")
    assert "equal" in (human.out + human.err).lower()
    report = world.run("verify", "--cluster", "c1", "--type", "services", "-o", "json").json()
    assert report["equal"] is True
    [entry] = report["clusters"]
    assert (entry["name"], entry["type"]) == ("c1", "services")
    assert entry["member"] == entry["store"] > 0
    assert entry["missing"] == entry["ghost"] == entry["different"] == []


def test_data_goes_to_stdout_and_all_else_to_stderr(world: Fleet) -> None:
    result = world.run("search", "kind:gadget", "-o", "json")
    json.loads(result.out)
    failed = world.run("get", "deploy", "nobody", "-n", "world", ok=(NEGATIVE,))
    assert failed.out == ""
    assert "nobody" in failed.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("get", "pod", "nobody", "-n", "world"), NEGATIVE, "nobody"),
        (("search", "kind:pod name:nobody-at-all"), NEGATIVE, ""),
        (("clusters", "get", "nowhere"), NEGATIVE, "nowhere"),
        (("get", "nothings"), USAGE, "nothings"),
        (("search", "kind:"), USAGE, "position 6"),
        (("search", "app=web", "--limit", "many"), USAGE, "limit"),
        (("search",), USAGE, ""),
        (("nonsense",), USAGE, "nonsense"),
        (("get", "pods", "-l", "a in ("), USAGE, "a in ("),
        (("verify", "--cluster", "nowhere"), USAGE, "nowhere"),
    ],
)
def test_exit_codes_and_what_is_said(world: Fleet, arguments: tuple[str, ...], code: int, says: str) -> None:
    # A name that nobody knows may count as usage or as a negative answer; a malformed question is always usage.
    allowed = (code,) if code == NEGATIVE or "nowhere" not in arguments else (NEGATIVE, USAGE)
    if arguments == ("get", "nothings"):
        allowed = (NEGATIVE, USAGE)
    result = world.run(*arguments, ok=allowed)
    assert says in result.err
    assert "Traceback" not in result.err


def test_nobody_at_the_address_is_unreachable_and_says_so(fleet: Fleet) -> None:
    nobody = f"https://127.0.0.1:{free_port()}"
    token = ["--token", fleet.token, "--ca", str(fleet.ca)]
    for arguments in (("search", "kind:pod"), ("get", "pods"), ("clusters", "list"), ("verify",)):
        result = run(FLEETPEDIA, *arguments, "--server", nobody, *token)
        assert result.code == UNREACHABLE, str(result)
        assert nobody.removeprefix("https://") in result.err
        assert "Traceback" not in result.err


def test_a_folder_without_an_installation_says_what_to_do(tmp_path: Path) -> None:
    result = run(FLEETPEDIA, "search", "kind:pod", "--data", tmp_path)
    assert result.code in (USAGE, UNREACHABLE)
    assert "fleetpedia up" in result.err or "--server" in result.err


def test_settings_of_the_client_come_from_the_environment_too(world: Fleet, tmp_path: Path) -> None:
    environment = {
        "FLEETPEDIA_SERVER": world.url,
        "FLEETPEDIA_TOKEN": world.token,
        "FLEETPEDIA_CA": str(world.ca),
        "FLEETPEDIA_DATA": str(tmp_path),
    }
    result = run(FLEETPEDIA, "search", "kind:gadget", "--count", environment=environment)
    assert result.code == GOOD, str(result)
    assert result.out.strip() == "6"
