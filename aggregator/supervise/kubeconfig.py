"""The kubeconfig that an installation writes: contexts `fleet`, `flat`, and two of each cluster."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path

from aggregator.files import write_private


def write_kubeconfig(file: Path, url: str, ca: bytes, token: str, clusters: Iterable[str]) -> None:
    """`url` without a trailing slash, `ca` PEM (empty: the system's). Written whole, mode
    0600; JSON is YAML that every client reads."""
    servers = {"fleet": f"{url}/fleet", "flat": f"{url}/flat"}
    for name in sorted(clusters):
        servers[f"fleet/{name}"] = f"{url}/fleet/clusters/{name}"
        servers[name] = f"{url}/clusters/{name}"
    authority = {"certificate-authority-data": base64.b64encode(ca).decode()} if ca else {}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "fleet",
        "clusters": [{"name": name, "cluster": {"server": server, **authority}} for name, server in servers.items()],
        "users": [{"name": "fleetpedia-admin", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "fleetpedia-admin"}} for name in servers],
    }
    write_private(file, json.dumps(content, indent=2) + "\n")
