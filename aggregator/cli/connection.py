"""Which server a verb asks: flags, else FLEETPEDIA_…, else the data folder of an `up` on this machine."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from aggregator.client import Answer, Client, UnreachableError
from aggregator.supervise.folder import DataFolder
from schema.errors import BadRequest


def connect(options: argparse.Namespace) -> Client:
    """Raises BadRequest for a setting that is missing, UnreachableError where no `up` runs on the data folder."""
    folder = DataFolder.of(options.data)
    server = options.server or os.environ.get("FLEETPEDIA_SERVER", "")
    token = _token(options.token or os.environ.get("FLEETPEDIA_TOKEN", ""))
    ca = options.ca or os.environ.get("FLEETPEDIA_CA") or None
    if ca and not Path(ca).exists():
        raise BadRequest(f"--ca {ca}: there is no such file")
    if server:
        if not server.startswith(("https://", "http://")):
            raise BadRequest(f"--server {server!r}: must be a URL like https://fleet.example.com")
        if not token:
            # The data folder's token is not for another server.
            raise BadRequest(f"no token for {server}: give --token or FLEETPEDIA_TOKEN")
        return Client(server.rstrip("/"), token, ca)
    if not folder.endpoint.exists():
        how = "is still starting" if folder.is_held() else "does not run"
        raise UnreachableError(
            f"no server: `fleetpedia up` {how} on {folder.path}; start it, or give --data, or --server with --token"
        )
    return Client(
        folder.endpoint.read_text().strip(),
        token or folder.token_file.read_text().strip(),
        ca or (str(folder.ca) if folder.ca.exists() else None),
    )


def local_folder(options: argparse.Namespace) -> DataFolder | None:
    """The data folder, when it is its server that `connect` asks."""
    if options.server or os.environ.get("FLEETPEDIA_SERVER"):
        return None
    return DataFolder.of(options.data)


def warn(answer: Answer) -> Answer:
    """Print what the server warned of, as kubectl does."""
    for text in answer.warnings:
        print(f"Warning: {text}", file=sys.stderr)
    return answer


def _token(given: str) -> str:
    if not given.startswith("@"):
        return given.strip()
    try:
        return Path(given[1:]).read_text().strip()
    except OSError as error:
        raise BadRequest(f"--token {given}: {error.strerror}") from error
