"""The engine against a slow, obviously right oracle; its scope; its plans."""

from __future__ import annotations

import random
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import pytest

from aggregator.rbac.scope import Scope
from aggregator.search.compile import compile_query
from aggregator.search.match import Matcher, State
from aggregator.search.parse_kube import parse_list_options
from aggregator.search.parse_text import parse_text
from aggregator.search.query import (
    EVERYTHING,
    All,
    AnyOf,
    ClusterLabel,
    Expression,
    Field,
    Glob,
    Key,
    Label,
    Match,
    Not,
    Query,
    Word,
    every,
)
from aggregator.search.run import Engine, Want
from aggregator.storage import objects
from aggregator.storage.catalog import Catalog
from aggregator.storage.changes import ChangeFeed
from aggregator.storage.objects import Row
from aggregator.storage.pool import Database
from schema.errors import BadRequest
from tests.integration.fleet import CONFIG_MAPS, NAMESPACES, PODS, Fleet, pod

CLUSTERS = {"a": {"env": "prod"}, "b": {"env": "test"}, "c": {"env": "prod", "zone": "z1"}}
Truth = dict[tuple[str, str, str, str], dict[str, Any]]
"""(cluster, resource, namespace, name) → the object."""


async def made(database: Database) -> tuple[Engine, Truth]:
    fleet = Fleet(database)
    truth: Truth = {}
    rng = random.Random(7)
    for cluster, labels in CLUSTERS.items():
        await fleet.add(cluster, PODS, NAMESPACES, CONFIG_MAPS, labels=labels)
        pods = [
            pod(space, f"web-{number}", _labels(rng), rng.choice(["Running", "Failed", "Pending"]), rng.choice("xy"))
            for space in ("one", "two", "three")
            for number in range(4)
        ]
        spaces: list[dict[str, Any]] = [{"metadata": {"name": space}} for space in ("one", "two", "three")]
        maps: list[dict[str, Any]] = [
            {"metadata": {"namespace": "one", "name": "m", "labels": {"app": "web"}}, "data": {"k": "v"}}
        ]
        for type, some in ((PODS, pods), (NAMESPACES, spaces), (CONFIG_MAPS, maps)):
            await fleet.put(cluster, type, *some)
            for one in some:
                key = (cluster, type.resource, one["metadata"].get("namespace", ""), one["metadata"]["name"])
                truth[key] = one
    catalog, feed = Catalog(database), ChangeFeed(database)
    await catalog.refresh()
    await feed.start()
    return Engine(database, catalog, feed), truth


def _labels(rng: random.Random) -> dict[str, str]:
    return {key: rng.choice(["web", "db", ""]) for key in ("app", "tier", "x.y/z") if rng.random() < 0.6}


def holds(where: Expression, key: tuple[str, str, str, str], one: dict[str, Any]) -> bool:
    """The oracle: reads the object itself."""
    cluster, resource, namespace, name = key
    labels = one["metadata"].get("labels", {})
    match where:
        case All(items):
            return all(holds(item, key, one) for item in items)
        case AnyOf(items):
            return any(holds(item, key, one) for item in items)
        case Not(item):
            return not holds(item, key, one)
        case Match(column, globs):
            value = {"name": name, "namespace": namespace, "cluster": cluster, "kind": resource}[column]
            return _any(globs, value)
        case Label(label, globs):
            return label in labels and (not globs or _any(globs, labels[label]))
        case ClusterLabel(label, globs):
            return label in CLUSTERS[cluster] and (not globs or _any(globs, CLUSTERS[cluster][label]))
        case Field(path, globs):
            found: Any = one
            for step in path:
                found = found.get(step) if isinstance(found, dict) else None
            return found is not None and (not globs or _any(globs, str(found)))
        case Word(text):
            words = [name, namespace, *(f"{label}={value}" for label, value in labels.items())]
            return any(text.lower() in word.lower() for word in words)


def _any(globs: tuple[Glob, ...], value: str) -> bool:
    return any(fnmatchcase(value, "*".join(piece.replace("[", "[[]") for piece in glob.pieces)) for glob in globs)


def expressions(rng: random.Random, depth: int = 3) -> Expression:
    if depth and rng.random() < 0.6:
        items = tuple(expressions(rng, depth - 1) for _ in range(rng.randint(1, 3)))
        return rng.choice([every(*items), AnyOf(items), Not(items[0])])
    some = tuple(Glob.pattern(rng.choice(["web", "db", "", "w*", "*", "d*b", "%"])) for _ in range(rng.randint(0, 2)))
    leaves: list[Expression] = [
        Label(rng.choice(["app", "tier", "x.y/z", "none"]), some),
        Match("name", (Glob.pattern(rng.choice(["web-1", "web-*", "m", "*_*"])),)),
        Match("namespace", tuple(map(Glob.pattern, rng.choice([["one"], ["t*"], ["one", "two"], [""]])))),
        Match("cluster", tuple(map(Glob.pattern, rng.choice([["a"], ["*"], ["a", "b"], ["q*"]])))),
        Match("kind", tuple(map(Glob.pattern, rng.choice([["pods"], ["*s"], ["pods", "configmaps"]])))),
        ClusterLabel(rng.choice(["env", "zone", "no"]), rng.choice([(), (Glob.pattern("pr*"),)])),
        Field(("spec", "nodeName"), rng.choice([(), (Glob.literal("x"),), (Glob.pattern("*"),)])),
        Field(("data", "k"), rng.choice([(), (Glob.literal("v"),), (Glob.literal("w"), Glob.pattern("v*"))])),
        Word(rng.choice(["WEB", "1", "one", "tier=", "zzz", "%"])),
    ]
    return rng.choice(leaves)


def scopes() -> Iterator[tuple[Scope, Any]]:
    """Scopes with what the oracle says of them."""
    yield Scope.everything(), lambda key: True
    yield Scope(clusters=("a", "c*")), lambda key: key[0] in ("a", "c")
    yield Scope(namespaces=("t*",)), lambda key: (key[2] or (key[3] if key[1] == "namespaces" else "")).startswith("t")
    yield Scope(kinds=("pods",)), lambda key: key[1] == "pods"
    yield (
        Scope(clusters=("b",), namespaces=("one",), kinds=("Pod", "Namespace")),
        lambda key: key[0] == "b" and key[1] != "configmaps" and "one" in (key[2], key[1] == "namespaces" and key[3]),
    )
    yield Scope(clusters=("nowhere",)), lambda key: False


def keys_of(engine: Engine, rows: list[Row]) -> list[tuple[str, str, str, str]]:
    catalog = engine.catalog
    return [
        (
            catalog.cluster_by_id[row.cluster_id].name,
            catalog.type_by_id[row.type_id].definition.resource,
            row.namespace,
            row.name,
        )
        for row in rows
    ]


async def test_every_question_under_every_scope_finds_what_the_oracle_finds(database: Database) -> None:
    engine, truth = await made(database)
    rng = random.Random(11)
    answered = 0
    refused: list[tuple[Scope, BadRequest]] = []
    for _ in range(120):
        where = expressions(rng)
        for scope, allows in scopes():
            expected = sorted(key for key, one in truth.items() if allows(key) and holds(where, key, one))
            try:
                page = await engine.page(Query(where, limit=500), scope, Want())
            except BadRequest as error:
                # Names of clusters and kinds that the scope hides are as unknown as those that are not there.
                refused.append((scope, error))
                continue
            answered += 1
            assert sorted(keys_of(engine, page.rows)) == expected, (where, scope)
            counted, exact = await engine.count(Query(where), scope, 1000)
            assert (counted, exact) == (len(expected), True)
    assert answered > 400
    assert not [error for scope, error in refused if scope == Scope.everything()]


async def test_a_watch_sees_exactly_what_a_list_sees(database: Database) -> None:
    """The matcher in memory and the compiled SQL are two readings of one question."""
    engine, _ = await made(database)
    rng = random.Random(13)
    rows = (await engine.page(Query(limit=500), Scope.everything(), Want())).rows
    records = await database.readers.fetch("select cluster_id, type_id, namespace, name, fields from fleet.object")
    fields = {tuple(record)[:4]: record["fields"] for record in records}
    compared = 0
    for _ in range(150):
        where = expressions(rng)
        query = Query(where, ("", "v1", "pods"))
        for scope, _ in scopes():
            try:
                matcher = Matcher(query, scope, engine.catalog)
                found = (await engine.page(Query(where, query.type, limit=500), scope, Want())).rows
            except BadRequest:
                continue
            states = [
                State(*row[:5], row.labels, fields[row.cluster_id, row.type_id, row.namespace, row.name])
                for row in rows
            ]
            matched = {state[:4] for state in states if matcher.matches(state)}
            assert matched == {row[:4] for row in found}, (where, scope)
            compared += 1
    assert compared > 100


async def test_pages_of_any_size_give_each_row_once_in_order(database: Database) -> None:
    engine, truth = await made(database)
    whole = (await engine.page(Query(limit=500), Scope.everything(), Want())).rows
    assert sorted(keys_of(engine, whole)) == sorted(truth)
    for where in (EVERYTHING, parse_text("cluster:a"), parse_text("kind:pods"), parse_text("kind:pods cluster:b")):
        expected = (await engine.page(Query(where, limit=500), Scope.everything(), Want())).rows
        for limit in (1, 2, 7):
            found: list[Row] = []
            token = ""
            while True:
                page = await engine.page(Query(where, limit=limit), Scope.everything(), Want(), token)
                found += page.rows
                assert len(page.rows) <= limit
                if page.remaining is not None:
                    assert page.remaining == len(expected) - len(found)
                if not (token := page.next):
                    break
            assert found == expected


async def test_a_statement_has_the_scope_and_no_text_of_the_question(database: Database) -> None:
    engine, _ = await made(database)
    hostile = "x'; drop table fleet.object; --"
    where = every(
        *(Label("app", (Glob.literal(hostile),)), Word(hostile), Field((hostile, "a"), (Glob.literal(hostile),))),
        *(Match("name", (Glob.literal(hostile),)), Match("status", (Glob.pattern(f"*{hostile}"),))),
    )
    scope = Scope(("a", "b"), ("one", "t*"), ("pods", "namespaces"))
    selection = compile_query(Query(where), scope, engine.catalog)
    for sql, args in (
        selection.rows(objects.columns(), 5),
        selection.count(5),
        selection.any_with_path(("a", hostile), 5),
    ):
        assert "drop" not in sql
        assert "o.cluster_id = any(" in sql
        assert "o.type_id = any(" in sql
        assert "o.namespace" in sql
        assert ["one"] in args or "one" in args
        await database.readers.fetch(f"explain {sql}", *args)
    nothing = compile_query(Query(), Scope(clusters=("nowhere",)), engine.catalog)
    assert "false" in nothing.where


async def test_unknown_kinds_and_clusters_are_refused_without_telling_of_hidden_ones(database: Database) -> None:
    engine, _ = await made(database)
    with pytest.raises(BadRequest, match=r"did you mean 'pods?'"):
        compile_query(Query(parse_text("kind:podz")), Scope.everything(), engine.catalog)
    with pytest.raises(BadRequest) as hidden:
        compile_query(Query(parse_text("kind:podz")), Scope(kinds=("configmaps",)), engine.catalog)
    assert "pods" not in hidden.value.message.replace("podz", "")
    with pytest.raises(BadRequest, match="unknown cluster 'b'"):
        compile_query(Query(parse_text("cluster:b")), Scope(clusters=("a",)), engine.catalog)


# -- plans -------------------------------------------------------------------------------------------------------------
@pytest.fixture
async def large(database: Database) -> Engine:
    """24,000 pods of 8 clusters, one in 200 with a rare label; rows made in SQL from one that ingest made."""
    fleet = Fleet(database)
    for number in range(8):
        await fleet.add(f"c{number}", PODS)
    await fleet.put("c0", PODS, pod("shop", "template", {"app": "web"}))
    async with database.writers.acquire() as connection:
        await connection.execute(_GROW, [member.id for member in fleet.members.values()])
        await connection.execute("vacuum analyze fleet.object")
    catalog, feed = Catalog(database), ChangeFeed(database)
    await catalog.refresh()
    await feed.start()
    return Engine(database, catalog, feed)


_GROW = """
insert into fleet.object
select c, o.type_id, 'ns-' || (n % 50), 'pod-' || md5(n::text), 'u' || n, '1', nextval('fleet.cursor'), n, n % 256,
       false, o.created, o.status, '{}',
       array['app', 'app=web'] || case when n % 200 = 0 then array['rare', 'rare=' || (n % 3)] else '{}' end,
       array['status.phase=Running', 'spec.nodeName=n' || (n % 500)], o.cells, o.layout, o.size, o.object, o.body
  from fleet.object o, unnest($1::integer[]) c, generate_series(1, 3000) n"""


async def plan(engine: Engine, where: Expression, limit: int = 100, scope: Scope | None = None) -> str:
    query = Query(where, ("", "v1", "pods"))
    sql, args = compile_query(query, scope or Scope.everything(), engine.catalog).rows("o.*", limit + 1)
    return "\n".join(row[0] for row in await engine.database.readers.fetch(f"explain {sql}", *args))


async def test_each_kind_of_question_uses_its_index(large: Engine) -> None:
    def kube(**parameters: str) -> Expression:
        return parse_list_options({name: [value] for name, value in parameters.items()}).where

    paged = await plan(large, EVERYTHING)
    assert "object_page" in paged
    assert "Sort" not in paged
    one_cluster = await plan(large, kube(labelSelector="fleetpedia.io/cluster=c3"))
    assert "object_pkey" in one_cluster or "object_page" in one_cluster  # by cost; with more clusters the first
    assert "Sort" not in one_cluster
    assert "object_page" in await plan(large, kube(fieldSelector="metadata.namespace=ns-7"))
    assert "object_labels" in await plan(large, kube(labelSelector="rare=1"))
    assert "object_labels" in await plan(large, kube(labelSelector="rare in (1,2)"))
    assert "object_labels" in await plan(large, kube(labelSelector="rare"))
    assert "object_labels" in await plan(large, parse_text("label.rare:1*"))
    assert "object_fields" in await plan(large, kube(fieldSelector="spec.nodeName=n7"))
    assert "object_name" in await plan(large, parse_text("name:*c4ca4238*"))
    for scope in (Scope(clusters=("c1", "c2")), Scope(namespaces=("ns-7",))):
        assert "Seq Scan" not in await plan(large, EVERYTHING, scope=scope)
        assert "object_labels" in await plan(large, kube(labelSelector="rare=1"), scope=scope)


async def test_few_matches_at_the_end_of_the_order_are_found_without_going_through_it(large: Engine) -> None:
    async with large.database.writers.acquire() as connection:
        await connection.execute(
            "update fleet.object set labels = labels || array['late=1'] where cluster_id = 5 and namespace = 'ns-9'"
        )
        await connection.execute("analyze fleet.object")
    query = Query(Label("late", (Glob.literal("1"),)), ("", "v1", "pods"))
    sql, args = compile_query(query, Scope.everything(), large.catalog).rows(objects.columns(body=True), 20)
    rows = await large.database.readers.fetch(f"explain (analyze, costs off, timing off, summary off) {sql}", *args)
    text = "\n".join(row[0] for row in rows)
    assert "object_labels" in text
    assert "Rows Removed by Filter" not in text
    assert "(never executed)" in text
    common = Query(Label("app", (Glob.literal("web"),)), ("", "v1", "pods"), limit=20)
    assert len((await large.page(common, Scope.everything(), Want())).rows) == 20


async def test_a_deep_page_goes_straight_to_its_place(large: Engine) -> None:
    token = ""
    for _ in range(4):
        page = await large.page(Query(type=("", "v1", "pods"), limit=5000), Scope.everything(), Want(), token)
        token = page.next
    last = page.rows[-1]
    selection = compile_query(Query(type=("", "v1", "pods")), Scope.everything(), large.catalog)
    sql, args = selection.rows("o.name", 100, Key(last.type_id, last.namespace, last.name, last.cluster_id))
    rows = await large.database.readers.fetch(f"explain (analyze, costs off, timing off, summary off) {sql}", *args)
    text = "\n".join(row[0] for row in rows)
    assert "Index Cond: ((type_id = " in text
    assert "ROW(namespace" in text
    assert "Rows Removed" not in text
