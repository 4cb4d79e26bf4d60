"""`fleetpedia status`: processes, clusters, and each type that is not in sync, with the reason."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from aggregator import cli
from aggregator.cli import output
from aggregator.cli.clusters import COLUMNS
from aggregator.cli.connection import connect, local_folder
from aggregator.client import ApiError, UnreachableError
from aggregator.supervise.fleet import SETTLED, SYNCED, views
from aggregator.supervise.status import database_url, processes


def status(options: argparse.Namespace) -> int:
    """Exit 0 when the aggregator answers, 3 when it does not (what is known without it is printed all the same)."""
    folder = local_folder(options)
    content: dict[str, Any] = {"url": "", "database": "", "data": "", "processes": [], "clusters": []}
    if folder:
        content |= {"data": str(folder.path), "database": database_url(folder), "processes": processes(folder)}
    problem = ""
    try:
        client = connect(options)
        content["url"] = client.server
        content["clusters"] = views(client)
    except UnreachableError as error:
        problem = str(error)
    except ApiError as error:
        if error.status != 503:
            raise
        problem = error.message
    _print(content, options.output)
    if problem:
        print(f"fleetpedia: {problem}", file=sys.stderr)
    return cli.UNREACHABLE if problem else cli.GOOD


def _print(content: dict[str, Any], form: str) -> None:
    if form in ("json", "yaml"):
        output.document(content, form)
        return
    if form == "name":
        output.lines(f"cluster/{cluster['name']}" for cluster in content["clusters"])
        return
    if form == "csv":
        output.show(content["clusters"], COLUMNS, form, str)
        return
    output.lines(f"{title:<9} {content[key]}" for title, key in (("address", "url"), ("data", "data")) if content[key])
    output.lines([""] if content["processes"] else [])
    rows = [
        [entry["name"], entry["pid"], "running" if entry["running"] else "not running"]
        for entry in content["processes"]
    ]
    output.table(["PROCESS", "PID", "STATE"], rows)
    output.lines([""] if content["clusters"] else [])
    output.show(content["clusters"], COLUMNS, form, str)
    late = [
        [cluster["name"], type["type"], type["state"], type.get("reason")]
        for cluster in content["clusters"]
        for type in cluster.get("types") or []
        if type["state"] not in (SYNCED, *SETTLED)
    ]
    output.lines([""] if late else [])
    output.table(["CLUSTER", "TYPE", "STATE", "REASON"], late)
