"""A person's kubeconfig made into one that may travel: credentials that are values, none that are code or paths."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import yaml

from schema.errors import BadRequest

_OTHER_WAYS = (
    "install the agent there (`fleetpedia clusters manifest NAME`), or run it here (`fleetpedia up --kubeconfig F`)"
)
_FILES = {
    "certificate-authority": "certificate-authority-data",
    "client-certificate": "client-certificate-data",
    "client-key": "client-key-data",
}


def inline_kubeconfig(file: Path, context: str | None) -> str:
    """YAML with the one context, certificate and token files read in. Raises BadRequest for exec plugins and providers:
    they would run on the aggregator's machine."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadRequest(f"kubeconfig {file} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadRequest(f"{file} is no kubeconfig")
    name = context or content.get("current-context") or ""
    chosen = _named(content, "contexts", name, "context", file)
    cluster = _inlined(_named(content, "clusters", str(chosen.get("cluster", "")), "cluster", file), file)
    user = _named(content, "users", str(chosen.get("user", "")), "user", file)
    for unfit in ("exec", "auth-provider"):
        if unfit in user:
            raise BadRequest(
                f"user {chosen['user']!r} of {file} has `{unfit}`, which runs where it is used; {_OTHER_WAYS}"
            )
    user = _inlined(user, file)
    if "tokenFile" in user:
        user["token"] = _read(file, user.pop("tokenFile")).decode().strip()
    inlined = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": "member", "user": "agent"}}],
        "clusters": [{"name": "member", "cluster": cluster}],
        "users": [{"name": "agent", "user": user}],
    }
    return yaml.safe_dump(inlined, sort_keys=False)


def _named(content: dict[str, Any], section: str, name: str, kind: str, file: Path) -> dict[str, Any]:
    for entry in content.get(section) or []:
        if isinstance(entry, dict) and entry.get("name") == name and isinstance(entry.get(kind), dict):
            return dict(entry[kind])
    known = ", ".join(str(entry.get("name")) for entry in content.get(section) or [] if isinstance(entry, dict))
    raise BadRequest(f"kubeconfig {file} has no {kind} {name!r}; it has {known or 'none'}")


def _inlined(entry: dict[str, Any], file: Path) -> dict[str, Any]:
    for path, data in _FILES.items():
        if path in entry:
            entry[data] = base64.b64encode(_read(file, entry.pop(path))).decode()
    return entry


def _read(kubeconfig: Path, named: str) -> bytes:
    """Paths in a kubeconfig are relative to it."""
    file = kubeconfig.parent / Path(named).expanduser()
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadRequest(f"{kubeconfig} names {file}, which cannot be read: {error.strerror}") from error
