"""A kubeconfig's context as an `Access`. We read it ourselves; the `kubernetes` package comes in only for plugins."""

from __future__ import annotations

import asyncio
import base64
import binascii
import time
from pathlib import Path
from typing import Any, Final

import yaml

from agent.access import Access, AccessError, inline
from agent.files import Source, WatchedFile

PLUGIN_SECONDS: Final = 300.0
"""How long a plugin's credential is used before the plugin is asked again."""
REFUSED_SECONDS: Final = 5.0
"""The same after a 401."""


def load(path: str | Path, context: str = "") -> Access:
    """Read the file once. `context`: else its current one. Raises AccessError that says what is wrong and where."""
    path = Path(path).expanduser()
    config = _parsed(path)
    name = context or str(config.get("current-context") or "")
    if not name:
        raise AccessError(f"{path} has no current context; name one with --context ({_names(config, 'contexts')})")
    chosen = _named(config, "contexts", name, "context", path)
    cluster = _named(config, "clusters", str(chosen.get("cluster") or ""), "cluster", path)
    user = _named(config, "users", str(chosen["user"]), "user", path) if chosen.get("user") else {}
    server = str(cluster.get("server") or "")
    if not server.startswith(("https://", "http://")):
        raise AccessError(f"{path}: cluster {chosen.get('cluster')!r} has no server URL (https://HOST:PORT)")
    common: dict[str, Any] = {
        "server": server,
        "ca": _source(cluster, "certificate-authority", path),
        "insecure": bool(cluster.get("insecure-skip-tls-verify")),
        "server_name": str(cluster.get("tls-server-name") or ""),
        "proxy": str(cluster.get("proxy-url") or "") or None,
    }
    if user.get("exec") or user.get("auth-provider"):
        return PluginAccess(path, name, **common)
    return Access(
        **common,
        token=_token(user, path),
        basic=_basic(user),
        certificate=_source(user, "client-certificate", path),
        key=_source(user, "client-key", path),
    )


class PluginAccess(Access):
    """Credentials that a plugin on this machine hands out, through the `kubernetes` package."""

    def __init__(self, path: Path, context: str, **common: Any) -> None:
        super().__init__(**common)
        self._path, self._name = path, context
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def prepare(self, *, refused: bool = False) -> None:
        """Raises AccessError. One at a time: sixty watches that begin together are one question."""
        async with self._asking:
            age = time.monotonic() - self._asked
            if age > (REFUSED_SECONDS if refused else PLUGIN_SECONDS):
                await asyncio.to_thread(self._ask)

    def _ask(self) -> None:
        from kubernetes import client, config

        found = client.Configuration()
        try:
            config.load_kube_config(str(self._path), context=self._name, client_configuration=found)  # type: ignore[no-untyped-call]
        except Exception as error:  # plugins and their loader raise what they like
            raise AccessError(f"{self._path}: context {self._name!r}: the credential plugin failed: {error}") from error
        bearer = str(found.api_key.get("authorization") or found.api_key.get("BearerToken") or "")
        if not bearer and not found.cert_file:
            # The package only logs what went wrong with a plugin.
            raise AccessError(f"{self._path}: context {self._name!r}: the credential plugin gave no credential")
        self.token = inline(bearer.removeprefix("Bearer ").strip())
        if found.cert_file and found.key_file:
            self.certificate, self.key = WatchedFile(found.cert_file), WatchedFile(found.key_file)
        self._asked = time.monotonic()


def _parsed(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except OSError as error:
        raise AccessError(f"the kubeconfig {path} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise AccessError(f"the kubeconfig {path} is not YAML: {error}") from error
    if not isinstance(config, dict) or not isinstance(config.get("contexts"), list):
        raise AccessError(f"{path} is not a kubeconfig: it has no list of contexts")
    return config


def _named(config: dict[str, Any], kind: str, name: str, what: str, path: Path) -> dict[str, Any]:
    for entry in config.get(kind) or []:
        if isinstance(entry, dict) and entry.get("name") == name:
            return entry.get(what) or {}
    raise AccessError(f"{path} has no {what} {name!r}; it has {_names(config, kind) or 'none'}")


def _names(config: dict[str, Any], kind: str) -> str:
    return ", ".join(repr(entry.get("name")) for entry in config.get(kind) or [] if isinstance(entry, dict))


def _source(entry: dict[str, Any], key: str, path: Path) -> Source | None:
    """`KEY-data` (base64, wins) or the file `KEY`, relative to the kubeconfig's folder."""
    data = entry.get(f"{key}-data")
    if data:
        try:
            return inline(base64.b64decode(str(data), validate=True))
        except binascii.Error as error:
            raise AccessError(f"{path}: {key}-data is not base64: {error}") from error
    return _file(entry[key], path) if entry.get(key) else None


def _token(user: dict[str, Any], path: Path) -> Source | None:
    if user.get("tokenFile"):
        return _file(user["tokenFile"], path)
    return inline(str(user["token"])) if user.get("token") else None


def _basic(user: dict[str, Any]) -> str:
    if not user.get("username"):
        return ""
    return base64.b64encode(f"{user['username']}:{user.get('password', '')}".encode()).decode()


def _file(name: object, path: Path) -> WatchedFile:
    file = WatchedFile(path.parent / str(name))
    if not file.path.is_file():
        raise AccessError(f"{path} names {file.path}, which is no file")
    return file
