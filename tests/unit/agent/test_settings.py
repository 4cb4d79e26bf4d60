"""Flags, environment, member lists: what is wrong is said with what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.settings import SettingsError, read


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER", "TOKEN_FILE", "CA_FILE", "KUBECONFIG", "CONTEXT", "MEMBERS", "METRICS", "LEASE"):
        monkeypatch.delenv(f"FLEETPEDIA_AGENT_{name}", raising=False)


def test_flags() -> None:
    member = ["--server", "https://hub:1", "--token-file", "t", "--ca-file", "c", "--kubeconfig", "k", "--context", "x"]
    settings = read([*member, "--metrics", ":9"])
    [own] = settings.members
    assert (own.server, own.token_file, own.ca_file) == ("https://hub:1", Path("t"), Path("c"))
    assert (own.kubeconfig, own.context, settings.metrics) == (Path("k"), "x", ":9")
    assert settings.log_format == "json"


def test_environment_and_that_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLEETPEDIA_AGENT_SERVER", "https://env:1")
    monkeypatch.setenv("FLEETPEDIA_AGENT_TOKEN_FILE", "env-token")
    assert read([]).members[0].server == "https://env:1"
    assert read([]).members[0].kubeconfig is None
    assert read(["--server", "https://flag:1"]).members[0].server == "https://flag:1"


def test_members_file(tmp_path: Path) -> None:
    file = tmp_path / "members.yaml"
    file.write_text(
        "- {name: a, token_file: ta, kubeconfig: k, context: ca}\n- {name: b, token_file: tb, kubeconfig: k}"
    )
    members = read(["--server", "https://hub:1", "--members", str(file)]).members
    assert [(one.name, one.token_file, one.context) for one in members] == [
        ("a", Path("ta"), "ca"),
        ("b", Path("tb"), ""),
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs server (--server URL"),
        (["--server", "https://h"], "needs token_file (--token-file FILE"),
        (["--server", "hub:1", "--token-file", "t"], "must begin with https://"),
        (["--lease", "maybe"], "it must be one of auto, on, off"),
        (["--log-format", "xml"], "it must be one of json, text"),
        (["--members", "/nowhere"], "cannot be read"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(arguments)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "neither YAML nor JSON"),
        ("{}", "must hold a list"),
        ("- {nmae: a}", "entry 1 must be an object with some of name"),
        ("- {name: a}", "entry 1 needs server"),
    ],
)
def test_what_is_wrong_in_a_members_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "members"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read(["--members", str(file)])
    assert message in str(caught.value)
