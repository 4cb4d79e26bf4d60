"""The grammar of the command line, and nothing else: `--help` and mistakes must not wait for imports.

A verb's `verb` is `module:function` in this package."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any, Final

from aggregator import settings

OUTPUTS: Final = ("table", "wide", "json", "yaml", "name", "csv")
HANDED_ON: Final = (
    *("--stale-after", "--digest-interval", "--scrub-interval", "--changelog-retention", "--history-retention"),
    *("--history-size", "--events-retention", "--max-list-rows"),
)
"""Settings of the aggregator that `up` takes and hands on."""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=34)


class _Verbs:
    """Adds verbs to one parser; every verb takes `--data`."""

    def __init__(self, parser: argparse.ArgumentParser, name: str):
        self._verbs = parser.add_subparsers(dest=name, metavar="VERB", required=True, title="verbs")

    def add(self, name: str, verb: str, text: str, **options: Any) -> argparse.ArgumentParser:
        parser = self.group(name, text, **options)
        parser.set_defaults(verb=verb)
        parser.add_argument("--data", metavar="DIR", help="data folder (FLEETPEDIA_DATA; ~/.local/share/fleetpedia)")
        return parser

    def group(self, name: str, text: str, **options: Any) -> argparse.ArgumentParser:
        return self._verbs.add_parser(
            name, help=text, description=text, allow_abbrev=False, formatter_class=_Formatter, **options
        )

    def client(
        self, name: str, verb: str, text: str, *, reads: bool = False, **options: Any
    ) -> argparse.ArgumentParser:
        """A verb that asks a server; `reads`: with a choice of output."""
        parser = self.add(name, verb, text, **options)
        server = parser.add_argument_group("server (else FLEETPEDIA_SERVER, _TOKEN, _CA, else the data folder's)")
        server.add_argument("--server", metavar="URL")
        server.add_argument("--token", metavar="TOKEN", help="or @FILE")
        server.add_argument("--ca", metavar="FILE", help="PEM of the certificate authority to trust")
        if reads:
            parser.add_argument("-o", "--output", choices=OUTPUTS, default="table", help="default: table")
        return parser


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleetpedia",
        description="A living, exact, searchable index of every object in every Kubernetes cluster of a fleet.",
        epilog="exit codes: 0 good, 1 a negative result, 2 usage, 3 unreachable",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    verbs = _Verbs(parser, "command")
    _machine(verbs)
    _production(verbs)
    _clusters(_Verbs(verbs.group("clusters", "the members of the fleet"), "action"))
    _reading(verbs)
    _policy(_Verbs(verbs.group("policy", "what is synced"), "action"))
    _tokens(_Verbs(verbs.group("tokens", "who may read and manage"), "action"))
    return parser


def _machine(verbs: _Verbs) -> None:
    up = verbs.add("up", "machine:up", "run everything on this machine, and restart what dies, until Ctrl-C")
    members = up.add_argument_group("members (none named: those of the last `up` on this data folder)")
    members.add_argument("--demo", type=int, metavar="N", help="N simulated members")
    members.add_argument("--objects", type=int, metavar="M", help="objects per simulated member (1000)")
    members.add_argument("--churn", type=float, metavar="R", help="changes a second per simulated member (1)")
    members.add_argument("--seed", type=int, metavar="S", help="another seed makes other objects (1)")
    members.add_argument("--kubeconfig", metavar="F", help="where the contexts are (KUBECONFIG, ~/.kube/config)")
    members.add_argument(
        "--context", action="append", default=[], metavar="C[=NAME]", help="a context that is a member; repeatable"
    )
    members.add_argument("--all-contexts", action="store_true", help="every context of the kubeconfig is a member")
    up.add_argument("--listen", metavar="HOST:PORT", help="where to serve; port 0 is a free one (127.0.0.1:0)")
    up.add_argument("--database", metavar="URL", help="a Postgres that exists, not one of our own")
    up.add_argument(
        "--detach", action="store_true", help="return when every member is in sync; go on in the background"
    )
    up.add_argument("--timeout", type=float, default=600.0, metavar="S", help="for getting in sync, in seconds (600)")
    up.add_argument("--json", action="store_true", help="print one line of JSON when in sync")
    _handed_on(up)
    down = verbs.add("down", "machine:down", "stop what `up` runs; returns when every process has ended")
    down.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds to wait (120)")
    verbs.client("status", "status:status", "each process, each cluster, each type not in sync", reads=True)


def _production(verbs: _Verbs) -> None:
    serve = verbs.group("serve", "run the aggregator alone, on a Postgres of yours")
    serve.set_defaults(verb="machine:serve")
    settings.add_arguments(serve)
    migrate = verbs.add("migrate", "machine:migrate", "bring the database to the schema of this version")
    migrate.add_argument("--database", metavar="URL", help="FLEETPEDIA_DATABASE, else the data folder's")
    migrate.add_argument("--check", action="store_true", help="only say whether it is current; exit 1 if not")
    verbs.add("version", "machine:version", "print the version")


def _handed_on(up: argparse.ArgumentParser) -> None:
    group = up.add_argument_group("settings of the aggregator (durations: 30s, 5m, 1h, 7d)")
    for setting in fields(settings.Settings):
        if setting.metadata["flag"] in HANDED_ON:
            group.add_argument(setting.metadata["flag"], dest=setting.name, help=setting.metadata["help"])


def _reading(verbs: _Verbs) -> None:
    get = verbs.client("get", "reading:get", "objects of all clusters, as `kubectl get` prints them", reads=True)
    get.add_argument("type", metavar="TYPE", help="pods, deploy, deployments.apps, pods,svc, all")
    get.add_argument("name", nargs="?", metavar="NAME")
    get.add_argument("-A", "--all-namespaces", action="store_true", help="the default, as of all commands here")
    get.add_argument("-n", "--namespace", metavar="NS")
    get.add_argument("--cluster", action="append", default=[], metavar="C", help="only this one; repeatable")
    get.add_argument("-l", "--selector", metavar="S", help="labels, as kubectl's")
    get.add_argument("--field-selector", metavar="S", help="any path: spec.nodeName=n1,status.phase!=Running")
    get.add_argument("--limit", type=int, metavar="N", help="at most this many")
    search = verbs.client("search", "reading:search", "objects by words: kind:pod ns:pay* app=web", reads=True)
    search.add_argument("query", nargs="+", metavar="QUERY")
    search.add_argument("--limit", type=int, default=50, metavar="N", help="rows (50); 0: all")
    search.add_argument("--count", action="store_true", help="only the number of matches")
    verify = verbs.client("verify", "verify:verify", "prove that the index equals the members, object by object")
    verify.add_argument("--cluster", action="append", default=[], metavar="C", help="only this one; repeatable")
    verify.add_argument("--type", action="append", default=[], metavar="R", help="only this one, e.g. pods; repeatable")
    verify.add_argument("--repair", action="store_true", help="bring over what differs")
    verify.add_argument("--timeout", default="60s", metavar="D", help="for getting in sync (60s)")
    verify.add_argument("-o", "--output", choices=("table", "json"), default="table")


def _clusters(verbs: _Verbs) -> None:
    listed = verbs.client("list", "clusters:list_", "every cluster with its phase", reads=True, aliases=["ls"])
    listed.add_argument("-l", "--selector", metavar="S", help="by labels of the cluster")
    verbs.client("get", "clusters:get", "one cluster with its types", reads=True).add_argument("name", metavar="NAME")
    add = verbs.client("add", "clusters:add", "a cluster whose agent runs beside the aggregator")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--kubeconfig", metavar="F", help="with inline credentials; without it, only the name is registered"
    )
    add.add_argument("--context", metavar="C", help="default: the current one")
    _labels_and_clone(add)
    apply = verbs.client("apply", "clusters:apply", "clusters as a file says (reserved)")
    apply.add_argument("-f", "--filename", metavar="F", required=True)
    manifest = verbs.client("manifest", "clusters:manifest", "YAML that installs the agent: | kubectl apply -f -")
    manifest.add_argument("name", metavar="NAME")
    manifest.add_argument("--image", metavar="IMAGE", help="the agent's image")
    manifest.add_argument("--namespace", metavar="NS", help="where it runs (fleetpedia-system)")
    _labels_and_clone(manifest)
    label = verbs.client("label", "clusters:label", "set KEY=VALUE, remove KEY-")
    label.add_argument("name", metavar="NAME")
    label.add_argument("labels", nargs="+", metavar="KEY=VALUE|KEY-")
    rename = verbs.client("rename", "clusters:rename", "another name, the same objects")
    rename.add_argument("name", metavar="NAME")
    rename.add_argument("new_name", metavar="NEW")
    rotate = verbs.client("rotate", "clusters:rotate", "a new credential; prints it, once")
    rotate.add_argument("name", metavar="NAME")
    rebind = verbs.client(
        "rebind", "clusters:rebind", "the name now stands for another cluster (another kube-system uid)"
    )
    rebind.add_argument("name", metavar="NAME")
    for name, text in (("pause", "sync no more; rows stay, marked"), ("resume", "go on after a pause")):
        verbs.client(name, f"clusters:{name}", text).add_argument("name", metavar="NAME")
    remove = verbs.client("remove", "clusters:remove", "credential revoked, every row deleted", aliases=["rm"])
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--timeout", type=float, default=600.0, metavar="S", help="for its rows to be gone (600)")


def _labels_and_clone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE", help="label of the cluster")
    parser.add_argument("--allow-clone", action="store_true", help="may be a copy of another cluster (same uid)")


def _policy(verbs: _Verbs) -> None:
    get = verbs.client("get", "policy:get", "the policy of the fleet or of one cluster", reads=True)
    set_ = verbs.client("set", "policy:set_", "replace it with a file's")
    preview = verbs.client("preview", "policy:preview", "what a policy would bring and remove (reserved)")
    for parser in (get, set_, preview):
        parser.add_argument("--cluster", metavar="C", help="of one cluster; default: the fleet's")
    for parser in (set_, preview):
        parser.add_argument("-f", "--filename", metavar="F", help="YAML or JSON, - is stdin")
    set_.add_argument("--reset", action="store_true", help="back to the fleet's (with --cluster), else to the default")


def _tokens(verbs: _Verbs) -> None:
    create = verbs.client("create", "tokens:create", "a token; prints it, once")
    create.add_argument("name", metavar="NAME")
    create.add_argument("--role", choices=("admin", "viewer"), default="viewer")
    for option, text in (("cluster", "cluster"), ("namespace", "namespace"), ("kind", "kind")):
        create.add_argument(
            f"--{option}",
            action="append",
            default=[],
            metavar=text[0].upper(),
            help=f"only this {text}; * is a wildcard",
        )
    create.add_argument("--ttl", metavar="D", help="how long it is valid, e.g. 30d; default: until it is revoked")
    verbs.client("list", "tokens:list_", "every token, without its secret", reads=True, aliases=["ls"])
    verbs.client("revoke", "tokens:revoke", "end a token at once").add_argument("name", metavar="NAME")
