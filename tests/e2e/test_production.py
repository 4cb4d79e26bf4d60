"""`fleetpedia serve` on a given database: members added, paused, labelled, removed; people with a scope."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.controlplane.plane import ControlPlane
from tests.controlplane.waiting import wait_until
from tests.e2e.fleet import FLEETPEDIA, Result, run
from tests.e2e.member import config_map
from tests.e2e.production import Production

TwoPlanes = tuple[ControlPlane, ControlPlane]
NAMESPACES = ("shop", "bank")


@pytest.fixture(scope="module")
def serving(production: Production, two_planes: TwoPlanes) -> Iterator[Production]:
    """Members `m1` and `m2`, each with two namespaces that hold something."""
    for name, plane in zip(("m1", "m2"), two_planes, strict=True):
        for namespace in NAMESPACES:
            plane.create_namespace(namespace)
            path = f"/api/v1/namespaces/{namespace}"
            plane.api.create(f"{path}/configmaps", config_map("config", app=namespace))
            plane.api.create(f"{path}/secrets", {"metadata": {"name": "secret", "labels": {"app": namespace}}})
        production.run("clusters", "add", name, "--kubeconfig", plane.kubeconfig)
    for name in ("m1", "m2"):
        wait_ready(production, name)
    yield production
    for name in ("m1", "m2"):
        production.run("clusters", "remove", name, ok=(0, 1))


def wait_ready(production: Production, name: str) -> None:
    production.wait_until(lambda: production.cluster(name)["phase"] == "Ready", f"{name} is in sync", timeout=40)


def children(pid: int) -> list[str]:
    """The command lines of a process's living children."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            if parent == pid:
                found.append((stat.parent / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def agents(production: Production) -> list[str]:
    return [command for command in children(production.process.pid) if "agent" in command]


def test_members_that_were_added_are_in_sync_and_equal(serving: Production) -> None:
    report = serving.verify()
    assert {entry["name"] for entry in report["clusters"]} == {"m1", "m2"}


def test_each_agent_is_a_child_process_of_serve(serving: Production) -> None:
    running = agents(serving)
    assert len(running) == 2
    for command in running:
        assert "PRIVATE" not in command
        assert serving.token not in command


def test_an_agent_that_dies_is_started_again(serving: Production, two_planes: TwoPlanes) -> None:
    pids = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_agent_of(serving, int(entry.name))
    ]
    assert len(pids) == 2
    os.kill(pids[0], 9)
    wait_until(lambda: len(agents(serving)) == 2 and not Path(f"/proc/{pids[0]}").exists(), "there are two again")
    for plane in two_planes:
        path = "/api/v1/namespaces/shop/configmaps"
        plane.api.create(path, config_map("after-death"))
    serving.wait_until(lambda: len(serving.search("name:after-death ns:shop")) == 2, "both follow", timeout=15)


def _is_agent_of(production: Production, pid: int) -> bool:
    try:
        parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        command = Path(f"/proc/{pid}/cmdline").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return parent == production.process.pid and "agent" in command


def test_a_kubeconfig_with_a_program_in_it_is_refused_and_names_the_way(serving: Production, tmp_path: Path) -> None:
    """traps 29: it would be code that runs on the hub."""
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
        "users": [{"name": "x", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh"}}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
    file = tmp_path / "config"
    file.write_text(yaml.safe_dump(config))
    refused = serving.run("clusters", "add", "runs-code", "--kubeconfig", file, ok=(1, 2))
    assert "exec" in refused.err
    assert "manifest" in refused.err
    assert serving.client.ask("/api/v1/clusters/runs-code").status == 404


def test_a_paused_cluster_takes_nothing_in_and_catches_up_when_resumed(
    serving: Production, two_planes: TwoPlanes
) -> None:
    path = "/api/v1/namespaces/shop/configmaps"
    serving.run("clusters", "pause", "m1")
    serving.wait_until(lambda: serving.cluster("m1")["phase"] == "Paused", "m1 is paused")
    two_planes[0].api.create(path, config_map("while-paused"))
    two_planes[1].api.create(path, config_map("while-paused"))
    serving.wait_until(lambda: serving.search("name:while-paused cluster:m2"), "m2 goes on")
    time.sleep(1)  # what must not happen cannot be waited for
    assert serving.search("name:while-paused cluster:m1") == []
    assert serving.search("name:config ns:shop cluster:m1"), "its rows stay"
    serving.run("clusters", "resume", "m1")
    serving.wait_until(lambda: serving.search("name:while-paused cluster:m1"), "m1 has caught up", timeout=20)
    wait_ready(serving, "m1")
    serving.verify("--cluster", "m1")


def test_labels_of_clusters_select_them(serving: Production) -> None:
    serving.run("clusters", "label", "m1", "env=prod", "region=eu")
    serving.run("clusters", "label", "m2", "env=test")
    assert serving.cluster("m1")["labels"] == {"env": "prod", "region": "eu"}
    serving.wait_until(
        lambda: {item["cluster"] for item in serving.search("name:config ns:shop cluster.env=prod")} == {"m1"},
        "the label selects",
    )
    serving.run("clusters", "label", "m1", "region-")
    assert serving.cluster("m1")["labels"] == {"env": "prod"}


# -- people with a scope ----
@pytest.fixture(scope="module")
def viewer(serving: Production) -> str:
    """A token that sees the namespace `shop` of `m1`."""
    created = serving.run("tokens", "create", "shop-only", "--role", "viewer", "--cluster", "m1", "--namespace", "shop")
    return created.out.strip()


def cli(serving: Production, token: str, *arguments: str, ok: tuple[int, ...] = (0,)) -> Result:
    result = run(FLEETPEDIA, *arguments, "--server", serving.url, "--ca", serving.ca, "--token", token)
    assert result.code in ok, str(result)
    return result


def test_a_viewer_finds_its_namespace_and_nothing_else(serving: Production, viewer: str) -> None:
    client = serving.client_as(viewer)
    items = client.get("/api/v1/search", q="name:config")["items"]
    assert {(item["cluster"], item["namespace"]) for item in items} == {("m1", "shop")}
    everything = client.get("/api/v1/search", q="", limit=500)["items"]
    # The Namespace object itself is part of what it may see.
    places = {(item["cluster"], item["namespace"] or item["name"]) for item in everything}
    assert places == {("m1", "shop")}
    for query in (
        "ns:bank",
        "ns:bank name:config",
        "app=bank",
        "cluster:m1 kind:node",
        "cluster:m1 kind:namespace -name:shop",
    ):
        answer = client.ask("/api/v1/search", q=query)
        assert answer.status != 200 or answer.json()["items"] == [], query


def test_a_viewers_counts_tell_nothing_of_the_rest(serving: Production, viewer: str) -> None:
    client = serving.client_as(viewer)
    count = client.get("/api/v1/search", q="name:config", count="exact")["count"]
    assert count == {"value": 1, "exact": True}
    listed = client.get("/fleet/api/v1/configmaps", limit=1)
    all_of_it = client.get("/fleet/api/v1/configmaps")["items"]
    assert listed["metadata"].get("remainingItemCount", len(all_of_it) - 1) == len(all_of_it) - 1
    clusters = client.get("/api/v1/clusters")["items"]
    assert [cluster["name"] for cluster in clusters] == ["m1"]
    assert client.ask("/api/v1/clusters/m2").status in (403, 404)
    assert "m2" not in client.ask("/api/v1/clusters").text


def test_a_viewer_reads_with_kubectl_what_it_may_and_no_more(
    serving: Production, viewer: str, kubectl137: Path, kubectl132: Path
) -> None:
    for program in (kubectl137, kubectl132):

        def get(*arguments: str, ok: tuple[int, ...] = (0,), program: Path = program) -> Result:
            return serving.kubectl(program, "get", *arguments, "--token", viewer, ok=ok)

        listed = json.loads(get("configmaps", "-A", "-o", "json").out)["items"]
        assert {item["metadata"]["namespace"] for item in listed} == {"shop"}
        assert {item["metadata"]["annotations"]["fleetpedia.io/cluster"] for item in listed} == {"m1"}
        assert "bank" not in get("configmaps", "-n", "bank", ok=(0, 1)).out
        assert "config" not in get("configmap", "config", "-n", "bank", ok=(0, 1)).out
        assert "node-0" not in get("nodes", ok=(0, 1)).out


def test_a_viewers_object_and_cluster_paths_hide_the_rest(serving: Production, viewer: str) -> None:
    client = serving.client_as(viewer)
    assert client.ask("/api/v1/objects/m1/core/v1/configmaps/shop/config").status == 200
    for path in (
        "/api/v1/objects/m1/core/v1/configmaps/bank/config",
        "/api/v1/objects/m2/core/v1/configmaps/shop/config",
        "/fleet/clusters/m1/api/v1/namespaces/bank/configmaps/config",
        "/fleet/clusters/m2/api/v1/namespaces/shop/configmaps/config",
        "/fleet/api/v1/namespaces/bank/configmaps/config",
    ):
        assert client.ask(path).status in (403, 404), path


def test_a_viewers_watch_shows_its_own_changes_only(serving: Production, two_planes: TwoPlanes, viewer: str) -> None:
    client = serving.client_as(viewer)
    version = client.get("/fleet/api/v1/configmaps")["metadata"]["resourceVersion"]
    for plane in reversed(two_planes):
        for namespace in reversed(NAMESPACES):  # the one that may be seen comes last
            plane.api.create(f"/api/v1/namespaces/{namespace}/configmaps", config_map("seen-by-watch"))
    seen = []
    with client.stream("/fleet/api/v1/configmaps", watch="true", resourceVersion=version, timeoutSeconds=5) as lines:
        for line in lines:
            metadata = json.loads(line)["object"]["metadata"]
            seen.append((metadata["annotations"]["fleetpedia.io/cluster"], metadata["namespace"], metadata["name"]))
    assert seen == [("m1", "shop", "seen-by-watch")]


def test_a_viewer_may_not_manage(serving: Production, viewer: str) -> None:
    for arguments in (
        ("clusters", "pause", "m1"),
        ("clusters", "remove", "m1"),
        ("clusters", "label", "m1", "a=b"),
        ("tokens", "create", "more"),
        ("tokens", "list"),
    ):
        refused = cli(serving, viewer, *arguments, ok=(1, 2))
        assert "admin" in refused.err or "forbidden" in refused.err.lower() or "may not" in refused.err, refused.err
    assert serving.cluster("m1")["phase"] == "Ready"


def test_a_scope_by_kind(serving: Production) -> None:
    token = serving.run("tokens", "create", "no-secrets", "--role", "viewer", "--kind", "ConfigMap").out.strip()
    client = serving.client_as(token)
    kinds = {item["kind"] for item in client.get("/api/v1/search", q="ns:shop", limit=100)["items"]}
    assert kinds == {"ConfigMap"}
    assert client.ask("/fleet/api/v1/secrets").status in (403, 404)
    assert client.get("/fleet/api/v1/namespaces/shop/configmaps")["items"] != []


def test_tokens_are_shown_once_and_listed_without_their_value(serving: Production, viewer: str) -> None:
    listed = serving.run("tokens", "list", "-o", "json").out
    assert "shop-only" in listed
    assert viewer not in listed
    stored = serving.sql("select t::text from fleet.token t")
    assert all(viewer not in row for (row,) in stored)


# -- removal ----
def test_a_removed_cluster_leaves_nothing_behind(serving: Production, two_planes: TwoPlanes) -> None:
    [(identity,)] = serving.sql("select id from fleet.cluster where name = 'm2'")
    rows = serving.sql("select count(*) from fleet.object where cluster_id = $1", identity)[0][0]
    assert rows > 100
    serving.run("clusters", "remove", "m2")
    serving.wait_until(lambda: serving.client.ask("/api/v1/clusters/m2").status == 404, "m2 is gone", timeout=30)
    columns = serving.sql(
        "select table_name, column_name from information_schema.columns join information_schema.tables "
        "using (table_schema, table_name) where table_schema = 'fleet' and column_name = 'cluster_id' "
        "and table_type = 'BASE TABLE'"
    )
    assert len(columns) >= 6
    for table, column in columns:
        left = serving.sql(f'select count(*) from fleet."{table}" where "{column}" = $1', identity)[0][0]
        if table.startswith("change"):
            # That it was removed stays in the log, what it held does not.
            removed = f'select count(*) from fleet."{table}" where "{column}" = $1 and op = \'cluster-removed\''
            left -= serving.sql(removed, identity)[0][0]
        elif table == "operation":
            continue  # who did what to it is kept
        assert left == 0, f"{left} rows of the removed cluster are left in {table}"
    assert serving.search("ns:shop name:config") != []
    assert all(item["cluster"] == "m1" for item in serving.search("name:config"))
    wait_until(lambda: len(agents(serving)) == 1, "its agent has ended")
    assert "m2" not in yaml.safe_dump(yaml.safe_load(serving.kubeconfig.read_text())["contexts"])
    # It can come back under any name, since nothing of it is left that would refuse it.
    serving.run("clusters", "add", "m2", "--kubeconfig", two_planes[1].kubeconfig)
    wait_ready(serving, "m2")


def test_sigterm_ends_serve_and_its_agents_cleanly(two_planes: TwoPlanes) -> None:
    with Production.started() as production:
        production.run("clusters", "add", "brief", "--kubeconfig", two_planes[0].kubeconfig)
        wait_ready(production, "brief")
        running = production.process.pid
        assert len(agents(production)) == 1
        [agent] = [
            int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and _is_agent_of(production, int(e.name))
        ]
        production.process.terminate()
        try:
            assert production.process.wait(20) == 0
        except subprocess.TimeoutExpired:
            pytest.fail(f"serve (pid {running}) does not end")
        wait_until(lambda: not Path(f"/proc/{agent}").exists(), "its agent has ended", timeout=5)
