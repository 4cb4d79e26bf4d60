"""The life of clusters over REST."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from aggregator.storage.pool import Database
from tests.integration.fleet import PODS, Fleet, pod
from tests.integration.rest.conftest import URL, Edge
from tests.integration.waiting import until


async def rows_left(database: Database, id: int) -> dict[str, int]:
    """Rows that name the cluster, by table; partitions under their own names."""
    tables = await database.readers.fetch(
        "select table_name from information_schema.columns "
        "join information_schema.tables using (table_schema, table_name) "
        "where table_schema = 'fleet' and column_name = 'cluster_id' and table_type = 'BASE TABLE'"
    )
    counts = {}
    for (table,) in tables:
        counts[table] = await database.readers.fetchval(
            f'select count(*) from fleet."{table}" where cluster_id = $1', id
        )
    return {table: count for table, count in counts.items() if count}


async def test_adding_shows_a_credential_once_and_keeps_its_hash_only(edge: Edge, database: Database) -> None:
    added = await edge.post("/api/v1/clusters", {"name": "one", "labels": {"env": "prod"}}, status=201)
    assert added["token"].startswith("fpa_")
    stored = await database.readers.fetch("select c::text from fleet.credential c")
    assert len(stored) == 1
    assert added["token"] not in str(stored)
    shown = await edge.get("/api/v1/clusters/one")
    assert (shown["phase"], shown["labels"], shown["types"], shown["stale"]) == ("Pending", {"env": "prod"}, [], True)


@pytest.mark.parametrize("name", ["fleet", "flat", "Upper", "-a", "a.b", "a" * 64, ""])
async def test_a_name_that_will_not_do_is_refused(edge: Edge, name: str) -> None:
    answer = await edge.ask("POST", "/api/v1/clusters", {"name": name})
    assert answer.status == 400
    assert repr(name) in answer.json["detail"] or name in answer.json["detail"]


async def test_a_name_in_use_is_a_conflict(edge: Edge, fleet: Fleet) -> None:
    assert (await edge.ask("POST", "/api/v1/clusters", {"name": "east"})).status == 409
    assert (await edge.ask("POST", "/api/v1/clusters/west/rename", {"name": "east"})).status == 409


async def test_a_synced_cluster_is_ready_with_its_types(edge: Edge, fleet: Fleet) -> None:
    found = await edge.get("/api/v1/clusters/east")
    assert found["phase"] == "Ready"
    assert found["version"] == "v1.37.2"
    assert found["ageSeconds"] < 30
    counts = {type["type"]: (type["state"], type["count"]) for type in found["types"]}
    assert counts == {"configmaps": ("Synced", 2), "namespaces": ("Synced", 2), "pods": ("Synced", 2)}
    assert {condition["status"] for condition in found["conditions"]} == {"True"}


async def test_phases_follow_from_what_is_known(edge: Edge, fleet: Fleet, database: Database) -> None:
    async def phase_after(statement: str) -> str:
        await database.writers.execute(statement)
        await edge.services.catalog.refresh()
        return str((await edge.get("/api/v1/clusters/east"))["phase"])

    types = "update fleet.cluster_type set state = '{}', reason = '{}' where cluster_id = 1 and type_id = 1"
    assert await phase_after(types.format("Listing", "")) == "Syncing"
    assert await phase_after(types.format("Denied", "pods is forbidden")) == "Degraded"
    degraded = await edge.get("/api/v1/clusters/east")
    assert "pods is forbidden" in str(degraded["conditions"])
    assert await phase_after("update fleet.cluster set member_seen = now() - interval '31s'") == "Stale"
    stale = (await edge.get("/api/v1/search", q="kind:pod"))["stale"]
    assert [entry["cluster"] for entry in stale] == ["east", "west"]
    assert stale[0]["ageSeconds"] >= 31
    assert await phase_after("update fleet.cluster set paused = true") == "Paused"


async def test_labels_are_merged_and_taken_away(edge: Edge, fleet: Fleet) -> None:
    await edge.ask("PATCH", "/api/v1/clusters/east", {"labels": {"region": "eu", "env": None}})
    assert (await edge.get("/api/v1/clusters/east"))["labels"] == {"region": "eu"}
    listed = await edge.get("/api/v1/clusters", labelSelector="region=eu")
    assert [cluster["name"] for cluster in listed["items"]] == ["east"]
    wrong = await edge.ask("PATCH", "/api/v1/clusters/east", {"labels": {"a b": "c"}})
    assert (wrong.status, "'a b'" in wrong.json["detail"]) == (400, True)


async def test_renaming_keeps_the_objects(edge: Edge, fleet: Fleet) -> None:
    assert (await edge.post("/api/v1/clusters/east/rename", {"name": "north"}))["name"] == "north"
    found = await edge.get("/api/v1/search", q="kind:pod cluster:north")
    assert {item["cluster"] for item in found["items"]} == {"north"}
    await edge.get("/api/v1/clusters/east", status=404)


async def test_rotation_voids_the_old_credential(edge: Edge, database: Database) -> None:
    await edge.post("/api/v1/clusters", {"name": "one"}, status=201)
    rotated = await edge.post("/api/v1/clusters/one/rotate")
    valid = await database.readers.fetchval("select count(*) from fleet.credential where revoked is null")
    assert rotated["token"].startswith("fpa_")
    assert valid == 1


async def test_removal_leaves_nothing_behind_but_one_mark(edge: Edge, fleet: Fleet, database: Database) -> None:
    id = fleet.members["east"].id
    await edge.post("/api/v1/clusters/east/manifest")
    assert 'cluster="east"' in (await edge.ask("GET", "/metrics")).text
    await edge.post("/api/v1/clusters/east/pause")
    assert (await edge.ask("DELETE", "/api/v1/clusters/east")).status in (202, 404)
    await until(lambda: "east" not in edge.services.catalog.clusters)
    assert 'cluster="east"' not in (await edge.ask("GET", "/metrics")).text
    left = await rows_left(database, id)
    left.pop("operation", None)  # who did what to it is kept
    assert [table for table in left if not table.startswith("change")] == []
    changes = await database.readers.fetch("select op, name from fleet.change where cluster_id = $1", id)
    assert [tuple(row) for row in changes] == [("cluster-removed", "east")]
    found = await edge.get("/api/v1/search", q="kind:pod")
    assert {item["cluster"] for item in found["items"]} == {"west"}


async def test_removal_goes_on_after_a_restart(edge: Edge, fleet: Fleet, database: Database) -> None:
    await fleet.put("west", PODS, *(pod("shop", f"more-{number}") for number in range(20)))
    async with database.writers.transaction() as connection:
        # As a process that died in the middle leaves it: marked, some rows gone.
        await connection.execute("update fleet.cluster set removing = true where name = 'west'")
        await connection.execute(
            "delete from fleet.object where cluster_id = $1 and name like 'more-1%'", fleet.members["west"].id
        )
    edge.services.clusters._removal_wanted.set()
    await until(lambda: "west" not in edge.services.catalog.clusters)
    assert await database.readers.fetchval("select count(*) from fleet.object where cluster_id = 2") == 0


async def test_the_manifest_installs_an_agent_that_reads_only(edge: Edge) -> None:
    added = await edge.post("/api/v1/clusters", {"name": "one"}, status=201)
    answer = await edge.ask("POST", "/api/v1/clusters/one/manifest?image=registry.example/agent:1", {})
    assert answer.headers["Content-Type"].startswith("application/yaml")
    assert "&id" not in answer.text
    documents = {document["kind"]: document for document in yaml.safe_load_all(answer.text)}
    assert set(documents["Secret"]["stringData"]) == {"token"}
    assert documents["Secret"]["stringData"]["token"] != added["token"]
    verbs = {verb for rule in documents["ClusterRole"]["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}
    [container] = documents["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/agent:1"
    assert f"--server={URL}" in container["args"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    refused = await edge.ask("POST", "/api/v1/clusters/one/manifest?namespace=other", {})
    assert (refused.status, "fleetpedia-system" in refused.json["detail"]) == (400, True)


INLINE = {
    "current-context": "x",
    "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    "clusters": [{"name": "x", "cluster": {"server": "https://member:6443"}}],
    "users": [{"name": "x", "user": {"token": "t"}}],
}


async def test_a_kubeconfig_with_inline_credentials_is_kept_without_the_rest(edge: Edge, database: Database) -> None:
    more = {**INLINE, "users": [*INLINE["users"], {"name": "other", "user": {"token": "another-secret"}}]}
    body = {"name": "one", "kubeconfig": yaml.safe_dump(more)}
    await edge.post("/api/v1/clusters", body, status=201)
    stored = yaml.safe_load(await database.readers.fetchval("select kubeconfig from fleet.cluster"))
    assert stored["users"] == [{"name": "member", "user": {"token": "t"}}]


@pytest.mark.parametrize(
    ("user", "says"),
    [
        ({"exec": {"command": "sh"}}, "exec"),
        ({"auth-provider": {"name": "x"}}, "auth-provider"),
        ({"client-key": "/etc/shadow"}, "client-key"),
        ({"tokenFile": "/etc/shadow"}, "tokenFile"),
    ],
)
async def test_code_and_paths_in_a_kubeconfig_are_refused(edge: Edge, user: dict[str, Any], says: str) -> None:
    config = {**INLINE, "users": [{"name": "x", "user": user}]}
    answer = await edge.ask("POST", "/api/v1/clusters", {"name": "one", "kubeconfig": yaml.safe_dump(config)})
    assert answer.status == 400
    assert says in answer.json["detail"]
    assert "manifest" in answer.json["detail"]
    await edge.get("/api/v1/clusters/one", status=404)


async def test_every_change_is_recorded_with_who_made_it(edge: Edge, fleet: Fleet, database: Database) -> None:
    await edge.ask("PATCH", "/api/v1/clusters/east", {"labels": {"a": "b"}})
    await edge.post("/api/v1/clusters/east/rebind")
    await edge.ask("PUT", "/api/v1/policy", {"exclude": []})
    recorded = await database.readers.fetch("select kind, actor, phase from fleet.operation order by id")
    assert [tuple(row) for row in recorded] == [
        ("cluster-change", "admin", "Succeeded"),
        ("cluster-rebind", "admin", "Succeeded"),
        ("policy-set", "admin", "Succeeded"),
    ]
