"""Plays the kubelet for the one pod of the manifest: mounts its Secret, makes its token, runs its command here."""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from tests.controlplane.kubectl import kubectl
from tests.controlplane.plane import ControlPlane
from tests.e2e.fleet import AGENT, run
from tests.e2e.member import delete_namespace
from tests.e2e.production import Production
from tests.e2e.recorder import Recorder

TOKEN_SECONDS = 3600


@dataclass(frozen=True)
class Manifest:
    """What `fleetpedia clusters manifest NAME` printed."""

    text: str
    documents: list[dict[str, Any]]

    def one(self, kind: str) -> dict[str, Any]:
        """The only document of a kind."""
        [found] = [document for document in self.documents if document["kind"] == kind]
        return found

    def named(self, kind: str, name: str) -> dict[str, Any]:
        [found] = [d for d in self.documents if d["kind"] == kind and d["metadata"]["name"] == name]
        return found

    @property
    def namespace(self) -> str:
        return str(self.one("Deployment")["metadata"]["namespace"])

    @property
    def pod(self) -> dict[str, Any]:
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def service_account(self) -> str:
        return str(self.pod["serviceAccountName"])


@dataclass(frozen=True)
class InCluster:
    """The agent as it runs in a member: `token` is its service account's; `process` is alive."""

    cluster: str
    manifest: Manifest
    token: str
    process: subprocess.Popen[bytes]
    log: Path


def manifest_of(production: Production, cluster: str) -> Manifest:
    text = production.run("clusters", "manifest", cluster).out
    return Manifest(text, [document for document in yaml.safe_load_all(text) if document])


@contextmanager
def installed(
    production: Production, plane: ControlPlane, cluster: str, folder: Path, *, through: Recorder | None = None
) -> Iterator[InCluster]:
    """The manifest applied with kubectl and the agent of its Deployment running; all removed at the end.

    through: a recorder that stands between the agent and the aggregator."""
    manifest = manifest_of(production, cluster)
    file = folder / "manifest.yaml"
    file.write_text(manifest.text)
    applied = run(kubectl("1.37"), "--kubeconfig", plane.kubeconfig, "apply", "-f", file)
    assert applied.code == 0, str(applied)
    token = service_account_token(plane, manifest)
    log = folder / "agent.log"
    command, environment = _container(plane, manifest, token, folder, through)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
        )
    try:
        yield InCluster(cluster, manifest, token, process, log)
    finally:
        process.terminate()
        process.wait(20)
        production.run("clusters", "remove", cluster, ok=(0, 1))
        delete_namespace(plane, manifest.namespace)


def service_account_token(plane: ControlPlane, manifest: Manifest) -> str:
    """By TokenRequest, as the kubelet gets it."""
    path = f"/api/v1/namespaces/{manifest.namespace}/serviceaccounts/{manifest.service_account}/token"
    return str(plane.api.create(path, {"spec": {"expirationSeconds": TOKEN_SECONDS}})["status"]["token"])


def _container(
    plane: ControlPlane, manifest: Manifest, token: str, folder: Path, through: Recorder | None
) -> tuple[list[str], dict[str, str]]:
    [container] = manifest.pod["containers"]
    places = _mounts(manifest, container, folder)
    account = folder / "serviceaccount"
    account.mkdir()
    (account / "token").write_text(token)
    (account / "ca.crt").write_bytes(plane.ca.read_bytes())
    (account / "namespace").write_text(manifest.namespace)
    address = urlsplit(plane.url)
    environment = {
        "PATH": os.environ["PATH"],
        "KUBERNETES_SERVICE_HOST": str(address.hostname),
        "KUBERNETES_SERVICE_PORT": str(address.port),
        "FLEETPEDIA_AGENT_SERVICE_ACCOUNT": str(account),
    }
    for entry in container.get("env", []):
        environment[entry["name"]] = _here(_value(manifest, entry), places)
    words = [*container.get("command", [str(AGENT)]), *container.get("args", [])]
    if Path(words[0]).name == AGENT.name:
        words[0] = str(AGENT)
    # Later flags win, and flags win over the environment. Here the pod has no network of its own: any free port.
    command = [*(_here(str(word), places) for word in words), "--metrics", "127.0.0.1:0"]
    if through is not None:
        command += ["--server", through.url, "--ca-file", str(through.ca)]
    return command, environment


def _mounts(manifest: Manifest, container: dict[str, Any], folder: Path) -> dict[str, Path]:
    """Path in the container → folder here, for volumes that are a Secret's or ConfigMap's."""
    volumes = {volume["name"]: volume for volume in manifest.pod.get("volumes", [])}
    places = {}
    for mount in container.get("volumeMounts", []):
        volume = volumes[mount["name"]]
        place = folder / "volumes" / mount["name"]
        place.mkdir(parents=True)
        if "secret" in volume:
            _write(manifest.named("Secret", volume["secret"]["secretName"]), place)
        elif "configMap" in volume:
            _write(manifest.named("ConfigMap", volume["configMap"]["name"]), place)
        places[mount["mountPath"]] = place
    return places


def _write(source: dict[str, Any], place: Path) -> None:
    for key, value in _content(source).items():
        (place / key).write_bytes(value)


def _content(source: dict[str, Any]) -> dict[str, bytes]:
    plain = source.get("stringData", {}) | (source.get("data", {}) if source["kind"] == "ConfigMap" else {})
    encoded = source.get("data", {}) if source["kind"] == "Secret" else {}
    return {key: value.encode() for key, value in plain.items()} | {
        key: base64.b64decode(value) for key, value in encoded.items()
    }


def _value(manifest: Manifest, entry: dict[str, Any]) -> str:
    if "value" in entry:
        return str(entry["value"])
    source = entry["valueFrom"]
    if "secretKeyRef" in source:
        reference = source["secretKeyRef"]
        return _content(manifest.named("Secret", reference["name"]))[reference["key"]].decode()
    if source["fieldRef"]["fieldPath"] == "metadata.namespace":
        return manifest.namespace
    return "fleetpedia-agent-0"


def _here(text: str, places: dict[str, Path]) -> str:
    for path, place in places.items():
        text = text.replace(path, str(place))
    return text
