"""Writes kubeconfigs whose credentials are inline, so that the file can be carried anywhere."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane.pki import KeyPair


@dataclass(frozen=True)
class Context:
    """One context: its name is the cluster's and the user's name as well."""

    name: str
    server: str
    ca: Path
    client: KeyPair


def write_kubeconfig(path: Path, contexts: Sequence[Context]) -> Path:
    """Writes `path` (mode 0600, whole or not at all); the first context is the current one."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(yaml.safe_dump(_document(contexts), sort_keys=False))
    unfinished.replace(path)
    return path


def _document(contexts: Sequence[Context]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": contexts[0].name if contexts else "",
        "clusters": [
            {
                "name": context.name,
                "cluster": {"server": context.server, "certificate-authority-data": _inline(context.ca)},
            }
            for context in contexts
        ],
        "users": [
            {
                "name": context.name,
                "user": {
                    "client-certificate-data": _inline(context.client.certificate),
                    "client-key-data": _inline(context.client.key),
                },
            }
            for context in contexts
        ],
        "contexts": [
            {"name": context.name, "context": {"cluster": context.name, "user": context.name}} for context in contexts
        ],
    }


def _inline(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
