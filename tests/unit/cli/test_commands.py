"""What `fleetpedia` says to what cannot be, before anything is started or asked."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
import yaml

from aggregator.cli import main
from aggregator.cli.inline import inline_kubeconfig
from aggregator.supervise.folder import DataFolder
from aggregator.supervise.kubeconfig import write_kubeconfig
from aggregator.supervise.listen import Address, choose_address, parse_address
from schema.errors import BadRequest, Conflict


@pytest.fixture(autouse=True)
def nothing_of_the_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SERVER", "TOKEN", "CA", "DATABASE"):
        monkeypatch.delenv(f"FLEETPEDIA_{name}", raising=False)
    monkeypatch.setenv("FLEETPEDIA_DATA", str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("up --demo 0", 2, "--demo 0: must be 1 to"),
        ("up --objects 5", 2, "say how many with --demo N"),
        ("up --demo 1 --churn -1", 2, "--churn not negative"),
        ("up --listen nonsense", 2, "must be HOST:PORT"),
        ("up --database mysql://x", 2, "must be a URL like postgresql://"),
        ("up --stale-after soon", 2, "--stale-after: 'soon' is not a duration"),
        ("up --timeout 0", 2, "--timeout 0"),
        ("up --kubeconfig /no/such/file --context a", 2, "/no/such/file"),
        ("serve", 2, "serve needs --database"),
        ("migrate", 2, "no database"),
        ("clusters list", 3, "`fleetpedia up` does not run on"),
        ("status", 3, "`fleetpedia up` does not run on"),
        ("get pods --server ftp://x --token a", 2, "must be a URL like https://"),
        ("get pods --server https://x", 2, "no token for https://x"),
        ("get pods --server https://x --token @/no/such/file", 2, "/no/such/file"),
        ("get pods --server https://x --token a --ca /no/such/file", 2, "there is no such file"),
        ("get pods -A -n x --server https://x --token a", 2, "-A and -n exclude each other"),
        ("search x --limit -1 --server https://x --token a", 2, "--limit must be"),
        ("clusters add Not_A_Label --server https://x --token a", 2, "Not_A_Label"),
        ("policy set --server https://x --token a", 2, "-f FILE"),
        ("policy set -f /no/such/file --server https://x --token a", 2, "/no/such/file"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], arguments: str, code: int, says: str
) -> None:
    assert main(arguments.split()) == code
    said = capsys.readouterr().err
    assert says in said
    assert said.startswith("fleetpedia: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize("arguments", ["", "nonsense", "search", "clusters", "get pods -o nonsense", "up --dem 3"])
def test_what_the_grammar_does_not_know_is_usage(capsys: pytest.CaptureFixture[str], arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments.split())
    assert ended.value.code == 2
    assert "usage: fleetpedia" in capsys.readouterr().err


def test_version_is_data(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.startswith("fleetpedia 0.")


def test_nobody_listens_is_unreachable(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{closed.getsockname()[1]}"
        assert main(["clusters", "list", "--server", url, "--token", "x"]) == 3
    assert f"{url} does not answer: nobody listens there" in capsys.readouterr().err


def test_down_where_nothing_runs_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert "nothing runs on" in capsys.readouterr().err


# -- the data folder --------------------------------------------------------------------------------------------------
def test_the_folder_is_the_flag_then_the_variable_then_the_data_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert DataFolder.of("/a").path == Path("/a")
    assert DataFolder.of(None).path == tmp_path / "data"
    monkeypatch.delenv("FLEETPEDIA_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/home")
    assert DataFolder.of(None).path == Path("/home/fleetpedia")


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.create()
    refused = pytest.raises(Conflict, match=rf"process \d+ already runs .* {tmp_path}.*fleetpedia down")
    with folder.locked(), refused, DataFolder(tmp_path).locked():
        pass
    assert not folder.is_held()
    with folder.locked():
        assert folder.is_held()


def test_the_admins_token_is_made_once_and_private(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    token = folder.admin_token()
    assert len(token) > 40
    assert folder.admin_token() == token
    assert folder.token_file.stat().st_mode & 0o777 == 0o600


# -- the kubeconfig ---------------------------------------------------------------------------------------------------
def test_the_kubeconfig_has_the_contexts_of_the_index_and_of_each_cluster(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    write_kubeconfig(file, "https://127.0.0.1:1", b"PEM", "secret", ["b", "a"])
    content = yaml.safe_load(file.read_text())
    servers = {entry["name"]: entry["cluster"]["server"] for entry in content["clusters"]}
    assert content["current-context"] == "fleet"
    assert servers == {
        "fleet": "https://127.0.0.1:1/fleet",
        "flat": "https://127.0.0.1:1/flat",
        "fleet/a": "https://127.0.0.1:1/fleet/clusters/a",
        "a": "https://127.0.0.1:1/clusters/a",
        "fleet/b": "https://127.0.0.1:1/fleet/clusters/b",
        "b": "https://127.0.0.1:1/clusters/b",
    }
    assert [context["name"] for context in content["contexts"]] == list(servers)
    assert file.stat().st_mode & 0o777 == 0o600


# -- where to listen --------------------------------------------------------------------------------------------------
def test_a_port_in_use_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(Conflict, match=f"{address} is in use"):
            choose_address(address, 0)


def test_the_last_port_is_taken_again_unless_it_is_in_use() -> None:
    first = choose_address(Address("127.0.0.1", 0), 0)
    assert choose_address(Address("127.0.0.1", 0), first.port) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert choose_address(Address("127.0.0.1", 0), port).port not in (0, port)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("127.0.0.1:8443", "https://127.0.0.1:8443"),
        (":8443", "https://127.0.0.1:8443"),
        ("0.0.0.0:8443", "https://127.0.0.1:8443"),
        ("[::1]:8443", "https://[::1]:8443"),
        ("hub.example.com:1", "https://hub.example.com:1"),
    ],
)
def test_where_clients_of_this_machine_find_it(text: str, url: str) -> None:
    assert parse_address(text).url == url


@pytest.mark.parametrize("text", ["8443", "host:", "host:port", "host:99999"])
def test_an_address_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="HOST:PORT"):
        parse_address(text)


# -- kubeconfigs that travel ------------------------------------------------------------------------------------------
def _kubeconfig(folder: Path, user: dict[str, object]) -> Path:
    (folder / "ca.pem").write_text("CA")
    file = folder / "config"
    content = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://x", "certificate-authority": "ca.pem"}}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(json.dumps(content))
    return file


def test_files_of_a_kubeconfig_are_read_in(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")
    made = yaml.safe_load(inline_kubeconfig(_kubeconfig(tmp_path, {"tokenFile": str(tmp_path / "token")}), None))
    assert made["users"][0]["user"] == {"token": "abc"}
    assert made["clusters"][0]["cluster"] == {"server": "https://x", "certificate-authority-data": "Q0E="}


@pytest.mark.parametrize("unfit", ["exec", "auth-provider"])
def test_a_program_in_a_kubeconfig_is_refused_and_the_ways_are_named(tmp_path: Path, unfit: str) -> None:
    with pytest.raises(BadRequest, match=rf"`{unfit}`.*clusters manifest.*fleetpedia up"):
        inline_kubeconfig(_kubeconfig(tmp_path, {unfit: {"command": "sh"}}), None)


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no context 'two'; it has one"):
        inline_kubeconfig(_kubeconfig(tmp_path, {}), "two")
