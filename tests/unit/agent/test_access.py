"""Where the member is and what is shown to it: kubeconfigs, pods, proxies, files that change."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from agent.access import AccessError, in_cluster
from agent.files import WatchedFile
from agent.kubeconfig import load
from agent.proxies import proxy_for


def write(folder: Path, user: dict[str, Any] | None = None, cluster: dict[str, Any] | None = None, **more: Any) -> Path:
    config = {
        "current-context": "one",
        "contexts": [{"name": "one", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443/", **(cluster or {})}}],
        "users": [{"name": "u", "user": user or {}}],
        **more,
    }
    file = folder / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return file


def test_a_token_inline(tmp_path: Path) -> None:
    access = load(write(tmp_path, {"token": "abc"}))
    assert access.server == "https://10.0.0.1:6443"
    assert access.headers() == {"Authorization": "Bearer abc"}
    assert not access.in_cluster


def test_a_token_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    access = load(write(tmp_path, {"tokenFile": "token"}))
    assert access.headers() == {"Authorization": "Bearer old"}
    (tmp_path / "next").write_text("newer\n")
    os.replace(tmp_path / "next", tmp_path / "token")
    assert access.headers() == {"Authorization": "Bearer newer"}


def test_user_and_password(tmp_path: Path) -> None:
    access = load(write(tmp_path, {"username": "a", "password": "b"}))
    assert access.headers() == {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()}


def test_tls_options(tmp_path: Path) -> None:
    cluster = {"insecure-skip-tls-verify": True, "tls-server-name": "kube", "proxy-url": "http://proxy:3128"}
    access = load(write(tmp_path, cluster=cluster))
    assert (access.insecure, access.server_name, access.proxy) == (True, "kube", "http://proxy:3128")
    context = access.tls()
    assert not isinstance(context, bool)
    assert not context.check_hostname
    assert access.tls() is context, "kept while nothing changes"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"current-context": ""}, "has no current context; name one with --context ('one')"),
        ({"contexts": [{"name": "two", "context": {}}]}, "has no context 'one'; it has 'two'"),
        ({"clusters": []}, "has no cluster 'c'"),
        ({"clusters": [{"name": "c", "cluster": {"server": "10.0.0.1"}}]}, "has no server URL (https://HOST:PORT)"),
        ({"users": [{"name": "u", "user": {"tokenFile": "gone"}}]}, "which is no file"),
        ({"users": [{"name": "u", "user": {"client-certificate-data": "%"}}]}, "is not base64"),
        ({"contexts": 7}, "is not a kubeconfig"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(AccessError) as caught:
        load(write(tmp_path, **change))
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("{", "is not YAML"), (None, "cannot be read")])
def test_no_kubeconfig_at_all(tmp_path: Path, text: str | None, message: str) -> None:
    file = tmp_path / "kubeconfig"
    if text is not None:
        file.write_text(text)
    with pytest.raises(AccessError, match=message):
        load(file)


def test_a_ca_that_is_none(tmp_path: Path) -> None:
    access = load(write(tmp_path, cluster={"certificate-authority-data": base64.b64encode(b"junk").decode()}))
    with pytest.raises(AccessError, match="is not a PEM certificate"):
        access.tls()


async def test_a_credential_plugin_is_asked_through_the_kubernetes_package(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    answer = '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"fromplugin"}}'
    plugin.write_text(f"#!/bin/sh\necho '{answer}'\n")
    plugin.chmod(0o755)
    user = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    access = load(write(tmp_path, user))
    await access.prepare()
    assert access.headers() == {"Authorization": "Bearer fromplugin"}


async def test_a_plugin_that_fails_is_named(tmp_path: Path) -> None:
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nowhere", "interactiveMode": "Never"}
    }
    with pytest.raises(AccessError, match="'one'"):
        await load(write(tmp_path, user)).prepare()


def test_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(AccessError, match="service account token must be mounted"):
        in_cluster(str(tmp_path))
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("")
    access = in_cluster(str(tmp_path))
    assert (access.server, access.in_cluster) == ("https://[fd00::1]:443", True)


def test_no_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(AccessError, match="--kubeconfig FILE --context NAME"):
        in_cluster()


def test_a_file_that_vanishes_is_an_error(tmp_path: Path) -> None:
    file = WatchedFile(tmp_path / "token")
    with pytest.raises(OSError, match="token"):
        file.read()


@pytest.mark.parametrize(
    ("url", "no_proxy", "proxy"),
    [
        ("https://api.example.com:6443", "", "http://p:1"),
        ("http://api.example.com", "", None),
        ("https://api.example.com", "example.com", None),
        ("https://api.example.com", ".example.com", None),
        ("https://example.com", ".example.com", "http://p:1"),
        ("https://notexample.com", "example.com", "http://p:1"),
        ("https://api.example.com:6443", "api.example.com:6443", None),
        ("https://api.example.com:443", "api.example.com:6443", "http://p:1"),
        ("https://10.1.2.3", "10.0.0.0/8", None),
        ("https://11.1.2.3", "10.0.0.0/8", "http://p:1"),
        ("https://10.1.2.3:6443", "10.1.2.3", None),
        ("https://api.example.com", "*", None),
        ("https://127.0.0.1:6443", "", None),
        ("https://localhost:6443", "", None),
        ("https://[::1]:6443", "", None),
    ],
)
def test_proxies(url: str, no_proxy: str, proxy: str | None) -> None:
    assert proxy_for(url, {"HTTPS_PROXY": "p:1", "NO_PROXY": no_proxy}) == proxy
