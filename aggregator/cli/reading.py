"""`fleetpedia get` and `search`: objects, from the Kubernetes face and from the search API."""

from __future__ import annotations

import argparse
import sys
from typing import Any
from urllib.parse import quote

from aggregator import cli
from aggregator.cli import output
from aggregator.cli.connection import connect, warn
from aggregator.cli.discovery import Served, find
from aggregator.cli.output import Column
from aggregator.client import Client, segment
from schema.errors import BadRequest

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_PAGE = 500
_ALL = 1_000_000


def get(options: argparse.Namespace) -> int:
    """Exit 1 where a name is given and nothing has it."""
    if options.namespace and options.all_namespaces:
        raise BadRequest("-A and -n exclude each other")
    if options.limit is not None and options.limit < 1:
        raise BadRequest("--limit must be at least 1")
    client = connect(options)
    served = find(client, options.type)
    if options.name and len(served) > 1:
        raise BadRequest(f"a name goes with one type; {options.type} are {len(served)}")
    if options.output in ("json", "yaml"):
        return _objects(client, served, options)
    found = [_table(client, one, options) for one in served]
    shown = [(one, table) for one, table in zip(served, found, strict=True) if table["rows"]]
    if options.output == "name":
        for one, table in shown:
            output.lines(f"{one.qualified}/{row['object']['metadata']['name']}" for row in table["rows"])
    else:
        for position, (one, table) in enumerate(shown):
            output.lines([""] if position else [])
            _print(one, table, options.output, prefixed=len(shown) > 1)
    if shown:
        return cli.GOOD
    print(f"nothing found: {options.type} {_where(options)}".rstrip(), file=sys.stderr)
    return cli.NEGATIVE if options.name else cli.GOOD


def _where(options: argparse.Namespace) -> str:
    parts = [
        f"namespace {options.namespace}" if options.namespace else "",
        f"name {options.name}" if options.name else "",
    ]
    return ", ".join(part for part in parts if part)


def _table(client: Client, served: Served, options: argparse.Namespace) -> dict[str, Any]:
    """All pages of the Table as one."""
    whole: dict[str, Any] = {}
    token = None
    while True:
        query = _query(options) | {"limit": min(_PAGE, options.limit or _PAGE), "continue": token}
        page = warn(client.request("GET", _path(served, options), query=query, accept=_TABLE)).json()
        if whole:
            whole["rows"] += page["rows"] or []
        else:
            whole = page | {"rows": page["rows"] or []}
        token = page.get("metadata", {}).get("continue")
        if not token or (options.limit and len(whole["rows"]) >= options.limit):
            whole["rows"] = whole["rows"][: options.limit]
            return whole


def _objects(client: Client, served: list[Served], options: argparse.Namespace) -> int:
    items: list[Any] = []
    for one in served:
        token = None
        while True:
            query = _query(options) | {"limit": min(_PAGE, options.limit or _PAGE), "continue": token}
            page = warn(client.request("GET", _path(one, options), query=query)).json()
            whole = {"apiVersion": one.api_version, "kind": one.kind}
            items += [whole | item for item in page["items"] or []]
            token = page["metadata"].get("continue")
            if not token or (options.limit and len(items) >= options.limit):
                break
    if options.name and not items:
        print(f"nothing found: {options.type} {_where(options)}", file=sys.stderr)
        return cli.NEGATIVE
    items = items[: options.limit]
    # One object by its name is itself, as kubectl has it; the same name in several clusters is a list.
    single = options.name and len(items) == 1
    output.document(items[0] if single else {"apiVersion": "v1", "kind": "List", "items": items}, options.output)
    return cli.GOOD


def _query(options: argparse.Namespace) -> dict[str, Any]:
    """A name is a field selector: then every cluster that has it answers."""
    fields = [options.field_selector] if options.field_selector else []
    if options.name:
        fields.append(f"metadata.name={options.name}")
    labels = [options.selector] if options.selector else []
    if len(options.cluster) > 1:
        labels.append(f"fleetpedia.io/cluster in ({','.join(options.cluster)})")
    return {"labelSelector": ",".join(labels) or None, "fieldSelector": ",".join(fields) or None}


def _path(served: Served, options: argparse.Namespace) -> str:
    one = options.cluster[0] if len(options.cluster) == 1 else ""
    base = f"/fleet/clusters/{segment(one)}" if one else "/fleet"
    root = f"/apis/{served.group}/{served.version}" if served.group else f"/api/{served.version}"
    within = f"/namespaces/{segment(options.namespace)}" if options.namespace and served.namespaced else ""
    return f"{base}{root}{within}/{quote(served.resource)}"


def _print(served: Served, table: dict[str, Any], form: str, prefixed: bool) -> None:
    """NAMESPACE comes after CLUSTER; a name says its type where several types are printed."""
    columns = [
        (position, column)
        for position, column in enumerate(table["columnDefinitions"])
        if form != "table" or not column.get("priority")
    ]
    titles = [str(column["name"]).upper() for _, column in columns]
    rows = [[row["cells"][position] for position, _ in columns] for row in table["rows"]]
    if prefixed and "NAME" in titles:
        at = titles.index("NAME")
        for row in rows:
            row[at] = f"{served.qualified}/{row[at]}"
    if served.namespaced:
        at = titles.index("CLUSTER") + 1 if "CLUSTER" in titles else 0
        titles.insert(at, "NAMESPACE")
        for row, source in zip(rows, table["rows"], strict=True):
            row.insert(at, source["object"]["metadata"].get("namespace"))
    output.table(titles, rows, form)


# -- search -------------------------------------------------------------------------------------------------------
_COLUMNS = (
    Column("CLUSTER", lambda item: item["cluster"]),
    Column("TYPE", lambda item: item["type"]),
    Column("NAMESPACE", lambda item: item.get("namespace")),
    Column("NAME", lambda item: item["name"]),
    Column("STATUS", lambda item: item.get("status")),
    Column("AGE", lambda item: _age(item)),
    Column("LABELS", lambda item: item.get("labels"), wide=True),
    Column("UID", lambda item: item.get("uid"), wide=True),
)


def search(options: argparse.Namespace) -> int:
    """Exit 1 where nothing matches."""
    if options.limit < 0:
        raise BadRequest("--limit must be 0 (all) or more")
    client = connect(options)
    question = " ".join(options.query)
    if options.count:
        answer = client.get("/api/v1/search", {"q": question, "limit": 1, "count": "exact"})
        output.lines([str(answer["count"]["value"])])
        return cli.GOOD if answer["count"]["value"] else cli.NEGATIVE
    answer = _found(client, question, options.limit or _ALL)
    for name in _stale(answer):
        print(f"Warning: cluster {name} is stale; its rows are as it was last heard", file=sys.stderr)
    if options.output in ("json", "yaml"):
        output.document(answer, options.output)
    else:
        output.show(answer["items"], _COLUMNS, options.output, _name)
    if answer.get("next"):
        print(f"there is more; --limit {len(answer['items'])} was reached (0: all)", file=sys.stderr)
    if not answer["items"]:
        print("nothing matches", file=sys.stderr)
    return cli.GOOD if answer["items"] else cli.NEGATIVE


def _found(client: Client, question: str, limit: int) -> dict[str, Any]:
    """The first answer with the items of all pages up to `limit`."""
    whole: dict[str, Any] = {}
    token = None
    while True:
        room = limit - len(whole.get("items") or [])
        query = {"q": question, "limit": min(_PAGE, room), "next": token}
        page = client.get("/api/v1/search", query)
        whole = {**page, "items": (whole.get("items") or []) + page["items"]}
        token = page.get("next")
        if not token or len(whole["items"]) >= limit:
            return whole


def _stale(answer: dict[str, Any]) -> list[str]:
    return [str(entry["cluster"]) if isinstance(entry, dict) else str(entry) for entry in answer.get("stale") or []]


def _name(item: dict[str, Any]) -> str:
    return f"{item['type']}/{item['name']}"


def _age(item: dict[str, Any]) -> str:
    from datetime import UTC, datetime

    created = item.get("created")
    if not created:
        return ""
    return output.age((datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds())
