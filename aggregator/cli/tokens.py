"""`fleetpedia tokens …`: who may read and manage."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from aggregator import cli
from aggregator.cli import output
from aggregator.cli.connection import connect
from aggregator.cli.output import Column
from aggregator.client import segment
from aggregator.settings import duration

PATH = "/api/v1/tokens"
_COLUMNS = (
    Column("NAME", lambda token: token["name"]),
    Column("ROLE", lambda token: token["role"]),
    Column("CLUSTERS", lambda token: token.get("clusters") or "*"),
    Column("NAMESPACES", lambda token: token.get("namespaces") or "*"),
    Column("KINDS", lambda token: token.get("kinds") or "*"),
    Column("EXPIRES", lambda token: token.get("expires") or "never"),
    Column("REVOKED", lambda token: token.get("revoked"), wide=True),
    Column("CREATED", lambda token: token.get("created"), wide=True),
)


def create(options: argparse.Namespace) -> int:
    scope = {"clusters": options.cluster, "namespaces": options.namespace, "kinds": options.kind}
    body: dict[str, Any] = {"name": options.name, "role": options.role, **{k: v for k, v in scope.items() if v}}
    if options.ttl:
        body["ttl"] = duration(options.ttl)
    answer = connect(options).post(PATH, body)
    print(f"token {options.name}, shown this once:", file=sys.stderr)
    output.lines([answer["token"]])
    return cli.GOOD


def list_(options: argparse.Namespace) -> int:
    answer = connect(options).get(PATH)
    if options.output in ("json", "yaml"):
        output.document(answer, options.output)
    else:
        output.show(answer["items"], _COLUMNS, options.output, lambda token: str(token["name"]))
    return cli.GOOD


def revoke(options: argparse.Namespace) -> int:
    connect(options).request("DELETE", f"{PATH}/{segment(options.name)}")
    print(f"token {options.name} is revoked", file=sys.stderr)
    return cli.GOOD
