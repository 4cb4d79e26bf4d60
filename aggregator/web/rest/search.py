"""`/api/v1/search`: objects by words, over all clusters."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from aiohttp import web

from aggregator.search.parse_text import parse_text
from aggregator.search.query import Query
from aggregator.search.run import Want
from aggregator.status.clusters import stamp
from aggregator.storage.catalog import Catalog
from aggregator.storage.objects import Row
from aggregator.web.kube.face import Face
from aggregator.web.kube.render import inflated, layout_of, ours
from aggregator.web.rest.route import Call, Operation, Parameter, one_of, whole_number
from aggregator.web.services import Services
from schema import body
from schema.errors import BadRequest, NotBuilt

DEFAULT_ROWS: Final = 50
MOST_ROWS: Final = 1000
CAP: Final = 1000
"""Where a capped count ends."""
_UNCAPPED: Final = 2**40
COLUMNS: Final = (
    *("cluster", "type", "group", "version", "kind", "namespace", "name", "uid", "status", "created", "labels"),
    *("resourceVersion", "stale"),
)
OBJECT: Final = "object"
"""The whole object: only where it is asked for."""


class Item(msgspec.Struct, rename="camel", omit_defaults=True):
    """One object. `columns` leaves out what is not wanted; `resourceVersion` is the member's own."""

    cluster: str
    type: str
    namespace: str
    name: str
    uid: str
    group: str
    version: str
    kind: str
    status: str
    created: str | None
    labels: dict[str, str]
    resource_version: str
    stale: bool
    object: msgspec.Raw | None = None


class Count(msgspec.Struct):
    """`exact` false: there are more than `value`."""

    value: int
    exact: bool


class StaleCluster(msgspec.Struct, rename="camel"):
    """Its rows are as it was last heard; `ageSeconds` null = never heard."""

    cluster: str
    age_seconds: float | None


class SearchResult(msgspec.Struct, rename="camel"):
    """`next`: for the following page, null on the last. `cursor`: place in the change log that the answer is of."""

    items: list[Item]
    next: str | None
    cursor: str
    count: Count | None
    stale: list[StaleCluster]
    took_ms: float


_PARAMETERS = (
    Parameter("q", "the question: kind:pod ns:pay* app=web cluster.env=prod; empty: everything"),
    Parameter(
        "limit", f"rows of a page (default {DEFAULT_ROWS})", {"type": "integer", "minimum": 1, "maximum": MOST_ROWS}
    ),
    Parameter("next", "where the page before ended; everything else must be as it was there"),
    Parameter("columns", f"of an item, comma-separated: {', '.join((*COLUMNS, OBJECT))}"),
    Parameter("count", f"capped: to {CAP}", {"type": "string", "enum": ["capped", "none", "exact"]}),
)
_WATCH = (Parameter("q", "as of search"), Parameter("cursor", "of a search"))


def operations(services: Services) -> list[Operation]:
    engine, catalog = services.engine, services.catalog

    async def search(call: Call) -> Any:
        begun = time.perf_counter()
        limit = whole_number(call.query, "limit", DEFAULT_ROWS, 1, MOST_ROWS)
        counting = one_of(call.query, "count", ("capped", "none", "exact"))
        columns = _columns(call.query.get("columns"))
        query = Query(parse_text(call.query.get("q", "")), limit=limit)
        token = call.query.get("next", "")
        scope = call.actor.scope
        page = await engine.page(query, scope, Want(body=OBJECT in columns), token)
        count = None
        if counting != "none":
            if not token and not page.next:
                count = Count(len(page.rows), True)
            else:
                cap = CAP if counting == "capped" else _UNCAPPED
                count = Count(*await engine.count(replace(query, limit=0), scope, cap))
        now = datetime.now(UTC)
        face = Face.of(catalog, scope, None)
        stale = {entry.id: entry for entry in face.clusters() if catalog.is_stale(entry, now)}
        shown = [_item(catalog, row, row.cluster_id in stale, OBJECT in columns) for row in page.rows]
        result = SearchResult(
            items=[item for item in shown if item is not None],
            next=page.next or None,
            cursor=str(page.cursor),
            count=count,
            stale=[StaleCluster(entry.name, _seconds(entry.age(now))) for entry in stale.values()],
            took_ms=round((time.perf_counter() - begun) * 1000, 2),
        )
        return result if "columns" not in call.query else _reduced(result, columns)

    return [
        Operation(
            "search", "GET", "/api/v1/search", "Objects that match a question", search, _PARAMETERS, answer=SearchResult
        ),
        Operation(
            *("watchSearch", "GET", "/api/v1/watch", "Changes of a question, as server-sent events (reserved)"),
            *(_watch, _WATCH),
            status=501,
            reserved=True,
        ),
    ]


async def _watch(call: Call) -> web.StreamResponse:
    raise NotBuilt(
        "/api/v1/watch is not built yet; watch one type at /fleet/apis/GROUP/VERSION/RESOURCE?watch=true"
        "&resourceVersion=CURSOR (the cursor of a search), or kubectl get TYPE -w"
    )


def _columns(text: str | None) -> tuple[str, ...]:
    if text is None:
        return COLUMNS
    names = tuple(name.strip() for name in text.split(","))
    for name in names:
        if name not in COLUMNS and name != OBJECT:
            raise BadRequest(f"columns: unknown column {name!r}; known are {', '.join((*COLUMNS, OBJECT))}")
    return names


def _item(catalog: Catalog, row: Row, stale: bool, whole: bool) -> Item | None:
    """None for a row whose cluster or type went away since it was read."""
    cluster, type = catalog.cluster_by_id.get(row.cluster_id), catalog.type_by_id.get(row.type_id)
    if cluster is None or type is None:
        return None
    own = type.clusters.get(row.cluster_id)
    definition = own.definition if own and own.definition.kind else type.definition
    item = Item(
        cluster=cluster.name,
        type=definition.name,
        namespace=row.namespace,
        name=row.name,
        uid=row.uid,
        group=definition.group,
        version=definition.version,
        kind=definition.kind,
        status=row.status,
        created=None if row.created is None else stamp(row.created),
        labels=dict(pair.split("=", 1) for pair in row.labels if "=" in pair),
        resource_version=row.resource_version,
        stale=stale,
    )
    if whole:
        joined = body.join(inflated(row), layout_of(row), str(row.cursor), ours(cluster.name, row))
        item.object = msgspec.Raw(joined)
    return item


def _reduced(result: SearchResult, columns: tuple[str, ...]) -> dict[str, Any]:
    members = msgspec.json.Decoder(dict[str, msgspec.Raw])
    items = [members.decode(msgspec.json.encode(item)) for item in result.items]
    return {
        **members.decode(msgspec.json.encode(msgspec.structs.replace(result, items=[]))),
        "items": [{name: item.get(name) for name in columns} for item in items],
    }


def _seconds(age: Any) -> float | None:
    return None if age is None else round(age.total_seconds(), 1)
