"""Where the control plane cannot be built or run, the reason is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.controlplane import build
from tests.controlplane.__main__ import main
from tests.controlplane.kubectl import kubectl
from tests.controlplane.toolchain import BuildError


def test_a_folder_without_the_binaries_is_refused_with_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    monkeypatch.setenv("FLEETPEDIA_CONTROLPLANE_BIN", str(tmp_path))
    with pytest.raises(BuildError, match=r"no executable kube-apiserver, .*kwok there"):
        build.binaries()


def test_a_given_folder_with_all_binaries_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for binary in build.BINARIES:
        (tmp_path / binary.name).touch(mode=0o755)
    monkeypatch.setenv("FLEETPEDIA_CONTROLPLANE_BIN", str(tmp_path))
    assert main(["--build"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path)


def test_a_failed_build_says_what_go_said_and_leaves_nothing_that_looks_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "go"
    go.write_text('#!/bin/sh\n[ "$1" = env ] && echo go1.99.0 && exit\necho "no route to the module" >&2\nexit 1\n')
    go.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("FLEETPEDIA_CONTROLPLANE_BIN", raising=False)
    with pytest.raises(BuildError, match=r"go build go\.etcd\.io/etcd/server/v3 failed:\nno route to the module"):
        build.binaries()
    left = [path for path in (tmp_path / "cache").rglob("*") if path.is_file() and path.name != ".lock"]
    assert left == []


def test_a_kubectl_that_is_not_pinned_is_refused() -> None:
    with pytest.raises(BuildError, match=r"no kubectl '1\.20' here; there are 1\.37, 1\.32"):
        kubectl("1.20")


def test_a_kubeconfig_of_a_person_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "config"
    own.write_text("contexts: [{name: production}]\n")
    with pytest.raises(SystemExit) as refused:
        main(["--clusters", "1", "--kubeconfig", str(own)])
    assert refused.value.code == 2
    assert "contexts that are not ours" in capsys.readouterr().err
    assert own.read_text() == "contexts: [{name: production}]\n"
