"""What a fleet keeps in its folder, so that its members are the same ones after a restart; and its kubeconfig."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import Any

import orjson


def _write(path: Path, content: bytes) -> None:
    """Replaces a file as a whole; only its owner may read it."""
    fresh = path.with_name(path.name + ".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)


class State:
    """The file `fleet.json`: port, birth, the secret behind tokens, and where each member's counter stood."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path = folder / "fleet.json"
        kept: dict[str, Any] = orjson.loads(self._path.read_bytes()) if self._path.exists() else {}
        self.port: int = kept.get("port", 0)
        self.secret: str = kept.get("secret") or secrets.token_hex(32)
        self.shape: dict[str, Any] = kept.get("shape", {})
        """Seed, objects and the like: with another shape the members are others."""
        self.born: int = kept.get("born", 0)
        self.counters: dict[str, int] = kept.get("counters", {})
        """The last version of each member, written at a stop in good order and taken out at start."""

    def token(self, member: str) -> str:
        digest = hmac.digest(self.secret.encode(), member.encode(), hashlib.sha256)
        return "sim-" + base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def save(self) -> None:
        content = {
            "port": self.port,
            "secret": self.secret,
            "shape": self.shape,
            "born": self.born,
            "counters": self.counters,
        }
        _write(self._path, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def write_kubeconfig(path: Path, url: str, tokens: dict[str, str], ca: bytes | None) -> None:
    """A context per member, named as the member; the first one is current."""
    cluster_extra: dict[str, Any] = {}
    if ca is not None:
        cluster_extra = {"certificate-authority-data": base64.b64encode(ca).decode()}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(tokens), ""),
        "clusters": [{"name": name, "cluster": {"server": f"{url}/{name}", **cluster_extra}} for name in tokens],
        "users": [{"name": name, "user": {"token": token}} for name, token in tokens.items()],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in tokens],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, orjson.dumps(document, option=orjson.OPT_INDENT_2))
