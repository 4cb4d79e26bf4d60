"""`fleetpedia policy …`: what is synced, of the fleet or of one cluster."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from aggregator import cli
from aggregator.cli import output
from aggregator.cli.connection import connect
from aggregator.client import segment
from schema.errors import BadRequest


def get(options: argparse.Namespace) -> int:
    policy = connect(options).get(_path(options))
    output.document(policy, "json" if options.output == "json" else "yaml")
    return cli.GOOD


def set_(options: argparse.Namespace) -> int:
    client = connect(options)
    if options.reset == bool(options.filename):
        raise BadRequest("give -f FILE with the policy, or --reset")
    if options.reset:
        client.request("DELETE", _path(options))
    else:
        client.request("PUT", _path(options), body=_read(options.filename))
    print(f"the policy of {options.cluster or 'the fleet'} is set; agents follow within seconds", file=sys.stderr)
    return cli.GOOD


def preview(options: argparse.Namespace) -> int:
    if not options.filename:
        raise BadRequest("give -f FILE with the policy")
    output.document(connect(options).post(f"{_path(options)}/preview", _read(options.filename)), "yaml")
    return cli.GOOD


def _path(options: argparse.Namespace) -> str:
    return f"/api/v1/clusters/{segment(options.cluster)}/policy" if options.cluster else "/api/v1/policy"


def _read(name: str) -> Any:
    try:
        content = yaml.safe_load(sys.stdin if name == "-" else Path(name).read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise BadRequest(f"-f {name}: {getattr(error, 'strerror', None) or error}") from error
    except yaml.YAMLError as error:
        raise BadRequest(f"-f {name} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadRequest(f"-f {name}: a policy is a mapping with `include` and `exclude`")
    return content
