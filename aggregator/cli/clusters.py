"""`fleetpedia clusters …`: the members of the fleet, over REST."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aggregator import cli
from aggregator.cli import output
from aggregator.cli.connection import connect, local_folder, warn
from aggregator.cli.output import Column, Record
from aggregator.client import ApiError, Client, segment
from schema.errors import BadRequest, NotBuilt, Unprocessable

PATH = "/api/v1/clusters"


def _objects(cluster: Record) -> int | None:
    """None where the token's scope hides it."""
    total = cluster.get("objects")
    return None if total is None else int(total)


def _in_sync(cluster: Record) -> str:
    types = [type for type in cluster.get("types") or [] if type["state"] not in ("Excluded", "Gone")]
    return f"{sum(type['state'] == 'Synced' for type in types)}/{len(types)}"


COLUMNS = (
    Column("NAME", lambda cluster: cluster["name"]),
    Column("PHASE", lambda cluster: cluster["phase"]),
    Column("VERSION", lambda cluster: cluster.get("version")),
    Column("OBJECTS", _objects),
    Column("TYPES", _in_sync),
    Column("SEEN", lambda cluster: output.age(cluster.get("ageSeconds")) or "never"),
    Column("LABELS", lambda cluster: cluster.get("labels"), wide=True),
    Column("UID", lambda cluster: cluster.get("uid"), wide=True),
    Column("MESSAGE", lambda cluster: cluster.get("message"), wide=True),
)
_TYPES = (
    Column("TYPE", lambda type: type["type"]),
    Column("STATE", lambda type: type["state"]),
    Column("OBJECTS", lambda type: type.get("count")),
    Column("LAG", lambda type: output.age(type.get("lagSeconds"))),
    Column("REASON", lambda type: type.get("reason")),
)


def list_(options: argparse.Namespace) -> int:
    answer = warn(connect(options).request("GET", PATH, query={"labelSelector": options.selector})).json()
    clusters = answer["items"]
    if options.output in ("json", "yaml"):
        output.document(answer, options.output)
        return cli.GOOD
    output.show(clusters, COLUMNS, options.output, lambda cluster: str(cluster["name"]))
    if not clusters:
        print("no clusters; `fleetpedia clusters add` or `manifest` brings one in", file=sys.stderr)
    return cli.GOOD


def get(options: argparse.Namespace) -> int:
    cluster = connect(options).get(f"{PATH}/{segment(options.name)}")
    if options.output in ("json", "yaml"):
        output.document(cluster, options.output)
    elif options.output in ("name", "csv"):
        output.show([cluster], COLUMNS, options.output, lambda found: str(found["name"]))
    else:
        output.show([cluster], COLUMNS, "wide", str)
        output.lines([""])
        output.show(cluster.get("types") or [], _TYPES, options.output, str)
    return cli.GOOD


def add(options: argparse.Namespace) -> int:
    from aggregator.cli.inline import inline_kubeconfig

    body: dict[str, Any] = _new(options)
    if options.kubeconfig:
        body["kubeconfig"] = inline_kubeconfig(Path(options.kubeconfig).expanduser(), options.context)
    elif options.context:
        raise BadRequest("--context belongs to --kubeconfig F")
    answer = connect(options).post(PATH, body)
    if options.kubeconfig:
        print(f"cluster {options.name} is added; its agent starts beside the aggregator", file=sys.stderr)
    else:
        print(f"cluster {options.name} is registered; its agent's credential:", file=sys.stderr)
        output.lines([answer["token"]])
    _rewrite(options)
    return cli.GOOD


def apply(options: argparse.Namespace) -> int:
    raise NotBuilt("clusters apply is not built yet; use `clusters add` or `clusters manifest` for each cluster")


def manifest(options: argparse.Namespace) -> int:
    """Registers the cluster when it is new; prints YAML for kubectl."""
    client = connect(options)
    query = {"image": options.image, "namespace": options.namespace}
    path = f"{PATH}/{segment(options.name)}/manifest"
    given = {name: value for name, value in query.items() if value}
    try:
        client.get(f"{PATH}/{segment(options.name)}")
    except ApiError as error:
        if error.status != 404:
            raise
        client.post(PATH, _new(options))
        _rewrite(options)
    answer = client.request(
        "POST", path + ("?" + urlencode(given) if given else ""), body={}, accept="application/yaml"
    )
    sys.stdout.write(answer.body.decode())
    return cli.GOOD


def label(options: argparse.Namespace) -> int:
    changes: dict[str, str | None] = {}
    for word in options.labels:
        if word.endswith("-") and "=" not in word:
            changes[word[:-1]] = None
        else:
            key, value = _pair(word)
            changes[key] = value
    answer = connect(options).request("PATCH", f"{PATH}/{segment(options.name)}", body={"labels": changes}).json()
    print(f"cluster {options.name} has labels {output.text(answer.get('labels')) or '(none)'}", file=sys.stderr)
    return cli.GOOD


def rename(options: argparse.Namespace) -> int:
    from aggregator.supervise.members import check_name

    check_name(options.new_name)
    connect(options).post(f"{PATH}/{segment(options.name)}/rename", {"name": options.new_name})
    print(f"cluster {options.name} is now called {options.new_name}", file=sys.stderr)
    _rewrite(options)
    return cli.GOOD


def rotate(options: argparse.Namespace) -> int:
    from aggregator.files import write_private

    token = connect(options).post(f"{PATH}/{segment(options.name)}/rotate", {})["token"]
    folder = local_folder(options)
    if folder and folder.agent_token(options.name).exists():
        write_private(folder.agent_token(options.name), f"{token}\n")
        print(f"the agent of {options.name} has its new credential", file=sys.stderr)
    else:
        print(f"put this where the agent of {options.name} reads its token; the old one is revoked", file=sys.stderr)
    output.lines([token])
    return cli.GOOD


def rebind(options: argparse.Namespace) -> int:
    return _act(options, "rebind", "takes the next cluster that shows its credential")


def pause(options: argparse.Namespace) -> int:
    return _act(options, "pause", "is paused")


def resume(options: argparse.Namespace) -> int:
    return _act(options, "resume", "goes on")


def remove(options: argparse.Namespace) -> int:
    client = connect(options)
    path = f"{PATH}/{segment(options.name)}"
    client.request("DELETE", path)
    print(f"removing {options.name}: its credential is revoked", file=sys.stderr)
    deadline = time.monotonic() + options.timeout
    while _exists(client, path):
        if time.monotonic() > deadline:
            raise Unprocessable(
                f"rows of {options.name} are still being removed after {options.timeout:g} s; it goes on"
            )
        time.sleep(0.3)
    print(f"cluster {options.name} is removed", file=sys.stderr)
    _rewrite(options)
    return cli.GOOD


def _exists(client: Client, path: str) -> bool:
    try:
        client.get(path)
    except ApiError as error:
        if error.status == 404:
            return False
        raise
    return True


def _act(options: argparse.Namespace, action: str, done: str) -> int:
    connect(options).post(f"{PATH}/{segment(options.name)}/{action}", {})
    print(f"cluster {options.name} {done}", file=sys.stderr)
    return cli.GOOD


def _new(options: argparse.Namespace) -> dict[str, Any]:
    from aggregator.supervise.members import check_name

    body: dict[str, Any] = {"name": check_name(options.name)}
    if options.label:
        body["labels"] = dict(_pair(word) for word in options.label)
    if options.allow_clone:
        body["allowClone"] = True
    return body


def _pair(word: str) -> tuple[str, str]:
    key, separator, value = word.partition("=")
    if not separator or not key:
        raise BadRequest(f"label {word!r}: must be KEY=VALUE, or KEY- to remove it")
    return key, value


def _rewrite(options: argparse.Namespace) -> None:
    """The data folder's kubeconfig has a context of each cluster."""
    from aggregator.supervise.fleet import rewrite_kubeconfig, views

    folder = local_folder(options)
    if folder and folder.endpoint.exists():
        client = connect(options)
        rewrite_kubeconfig(folder, client.server, [view["name"] for view in views(client)])
