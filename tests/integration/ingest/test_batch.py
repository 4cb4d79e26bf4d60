"""A batch is committed once, whole, in order, or not at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest

from aggregator.ingest.service import Ingest
from aggregator.metrics import Metrics
from aggregator.storage.pool import Database
from schema.errors import Fenced, Gap
from schema.wire import Mark, Upsert
from tests.integration.ingest.conftest import Member
from tests.integration.ingest.objects import delete, raw, upsert, upsert_of


async def _objects(database: Database) -> dict[str, str]:
    rows = await database.readers.fetch("select name, uid from fleet.object order by name")
    return {row["name"]: row["uid"] for row in rows}


async def _log(database: Database) -> list[tuple[str, str, str]]:
    rows = await database.readers.fetch("select op, name, uid from fleet.change order by cursor")
    return [tuple(row) for row in rows]


async def _count(database: Database, member: Member) -> int:
    sql = "select objects from fleet.cluster_type where cluster_id = $1 and type_id = $2"
    count: int = await database.readers.fetchval(sql, member.agent.cluster_id, member.ids["configmaps"])
    return count


async def test_rows_log_counter_and_mark_come_together(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    mark = Mark(type_id, "77", listed=True, shape="s1")
    ack = await member.push(upsert(type_id, "a", labels={"app": "web"}), upsert(type_id, "b"), marks=(mark,))
    assert (ack.acked, ack.rejected, ack.noops) == (2, [], 0)
    assert await _objects(database) == {"a": "uid-a", "b": "uid-b"}
    assert await _log(database) == [("added", "a", "uid-a"), ("added", "b", "uid-b")]
    assert await _count(database, member) == 2
    row = await database.readers.fetchrow("select * from fleet.object where name = 'a'")
    assert row is not None
    assert row["labels"] == ["app=web", "app"]
    assert json.loads(row["object"])["metadata"]["labels"] == {"app": "web"}
    assert row["cursor"] == await database.readers.fetchval("select cursor from fleet.change where name = 'a'")
    kept = await database.readers.fetchrow("select * from fleet.cluster_type where type_id = $1", type_id)
    assert kept is not None
    assert (kept["resource_version"], kept["shape"], kept["state"]) == ("77", "s1", "Synced")
    assert kept["listed_at"] is not None


async def test_the_same_batch_again_is_a_no_op(member: Member, database: Database) -> None:
    delta = upsert(member.ids["configmaps"], "a")
    await member.push(delta)
    assert (await member.push(delta, first=1)).acked == 1
    assert len(await _log(database)) == 1


async def test_what_does_not_follow_is_a_gap_and_changes_nothing(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a"))
    with pytest.raises(Gap) as caught:
        await member.push(upsert(type_id, "c"), first=3)
    assert caught.value.acked == 1
    with pytest.raises(Gap):  # one delta of it is committed already, the other not: resend from there
        await member.push(upsert(type_id, "a"), upsert(type_id, "b"), first=1)
    assert await _objects(database) == {"a": "uid-a"}


async def test_a_newer_session_fences_the_older_off(member: Member, database: Database) -> None:
    old = member.epoch
    await member.open()
    member.epoch, new = old, member.epoch
    with pytest.raises(Fenced):
        await member.push(upsert(member.ids["configmaps"], "late"))
    assert await _objects(database) == {}
    member.epoch = new
    assert (await member.push(upsert(member.ids["configmaps"], "a"))).acked == 1


async def test_two_sessions_on_two_aggregators_never_interleave(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    other = Member(Ingest(database, Metrics()), member.agent, member.uid, ids=member.ids)
    begun = asyncio.Event()

    async def write_until_fenced() -> int:
        for number in range(10_000):
            try:
                await member.push(upsert(type_id, f"old{number}"))
            except Fenced:
                return number
            begun.set()
        return -1

    async def take_over() -> None:
        await begun.wait()
        await other.open()
        for number in range(20):
            await other.push(upsert(type_id, f"new{number}"))

    written, _ = await asyncio.gather(write_until_fenced(), take_over())
    names = [name for _, name, _ in await _log(database)]
    assert names == [f"old{number}" for number in range(written)] + [f"new{number}" for number in range(20)]


async def test_equal_fingerprints_write_nothing(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a"), upsert(type_id, "b"))
    before = await database.readers.fetch("select name, cursor, xmin from fleet.object order by name")
    ack = await member.push(upsert(type_id, "a"), upsert(type_id, "b"))
    assert (ack.acked, ack.noops) == (4, 2)
    assert await database.readers.fetch("select name, cursor, xmin from fleet.object order by name") == before
    assert len(await _log(database)) == 2


async def test_delete_and_recreate_are_two_changes(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a", uid="one", labels={"v": "1"}))
    await member.push(delete(type_id, "a", uid="one"), upsert(type_id, "a", uid="two"))
    assert await _log(database) == [("added", "a", "one"), ("deleted", "a", "one"), ("added", "a", "two")]
    assert await _objects(database) == {"a": "two"}
    assert await _count(database, member) == 1


async def test_another_uid_without_its_delete_logs_the_delete(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a", uid="one", labels={"v": "1"}))
    await member.push(upsert(type_id, "a", uid="two"))
    assert await _log(database) == [("added", "a", "one"), ("deleted", "a", "one"), ("added", "a", "two")]
    last = await database.readers.fetchrow("select * from fleet.change where op = 'deleted'")
    assert last is not None
    assert last["labels"] == ["v=1", "v"]
    assert last["body"] is not None
    assert last["layout"] is not None
    assert await _count(database, member) == 1


async def test_a_late_delete_of_an_older_uid_leaves_the_newer_object(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a", uid="two"))
    ack = await member.push(delete(type_id, "a", uid="one"))
    assert ack.noops == 1
    assert await _objects(database) == {"a": "two"}


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (["u1", "d1"], None),
        (["u1", "d1", "u2"], "2"),
        (["u2", "d1"], "2"),
        (["d1", "u2", "d2"], None),
        (["u1", "u1"], "1"),
    ],
)
async def test_several_deltas_of_one_key_end_as_the_last_says(
    member: Member, database: Database, steps: list[str], kept: str | None
) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a", uid="1"))
    deltas: list[Any] = []
    for number, step in enumerate(steps):
        uid = step[1]
        made = upsert(type_id, "a", uid=uid, version=str(number + 5))
        deltas.append(made if step[0] == "u" else delete(type_id, "a", uid=uid))
    ack = await member.push(*deltas)
    assert ack.acked == 1 + len(steps)
    assert await _objects(database) == ({"a": kept} if kept else {})
    assert await _count(database, member) == (1 if kept else 0)


async def test_changed_labels_and_fields_carry_what_was_before(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert_of(type_id, raw("a", labels={"app": "web"}), fields=("status.phase=Pending",)))
    await member.push(upsert_of(type_id, raw("a", labels={"app": "db"}, version="2"), fields=("status.phase=Pending",)))
    row = await database.readers.fetchrow("select * from fleet.change where op = 'modified'")
    assert row is not None
    assert (row["labels"], row["labels_before"]) == (["app=db", "app"], ["app=web", "app"])
    assert (row["fields"], row["fields_before"]) == (["status.phase=Pending"], None)
    assert row["body"] is None


async def test_one_bad_object_is_set_aside_and_the_rest_commits(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    good = [upsert(type_id, f"good{number}") for number in range(20)]
    broken = upsert(type_id, "broken")
    nul = upsert_of(type_id, raw("nul", data={"k": "a\x00b"}))  # not marked lossy: the database refuses it
    cut = msgspec.structs.replace(upsert(type_id, "layout"), layout=[1, 2, 0, 3, 4])
    huge = upsert_of(type_id, raw("huge", data={"k": "x" * (3 * 1024 * 1024)}))
    number = upsert_of(type_id, raw("number").replace(b'"kind"', b'"n":1e999999,"kind"'))
    broken = msgspec.structs.replace(
        broken, body=_compressed(b'{"metadata":{"resourceVersion":"",}}'), layout=[32, 12, 0, 12, 35]
    )
    ack = await member.push(*good[:7], broken, *good[7:], nul, cut, huge, number)
    assert ack.acked == 25
    reasons = {rejected.sequence: rejected.reason for rejected in ack.rejected}
    assert sorted(reasons) == [8, 22, 23, 24, 25]
    assert "more than 3145728" in reasons[24]
    assert len(await _objects(database)) == 20
    rows = await database.readers.fetch("select name, reason from fleet.rejected order by name")
    assert [row["name"] for row in rows] == ["broken", "huge", "layout", "nul", "number"]
    again = await member.push(upsert(type_id, "nul", version="9"))
    assert again.rejected == []
    assert await database.readers.fetchval("select count(*) from fleet.rejected") == 4


async def test_an_object_that_turns_bad_leaves_no_older_state(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a"))
    await member.push(msgspec.structs.replace(upsert(type_id, "a", version="2"), body=b"no frame"))
    assert await _objects(database) == {}
    assert [op for op, _, _ in await _log(database)] == ["added", "deleted"]
    assert await _count(database, member) == 0
    await member.push(delete(type_id, "a"))
    assert await database.readers.fetchval("select count(*) from fleet.rejected") == 0


async def test_nul_and_lone_surrogates_are_stored_and_marked(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    data = raw("odd", data={"k": "PLACE"}).replace(b"PLACE", rb"a\u0000b \ud83d\ude00 \ud83d! \\u0000 \udc00")
    assert (await member.push(upsert_of(type_id, data, lossy=True))).rejected == []
    row = await database.readers.fetchrow("select object, body, lossy from fleet.object")
    assert row is not None
    assert row["lossy"]
    assert json.loads(row["object"])["data"]["k"] == "a\ufffdb 😀 \ufffd! \\u0000 \ufffd"
    assert rb"a\u0000b" in _inflated(row["body"])


async def test_a_type_that_is_not_announced_gains_no_rows(member: Member, database: Database) -> None:
    ack = await member.push(upsert(9999, "stray"), upsert(member.ids["configmaps"], "a"))
    assert ack.acked == 2
    assert [rejected.sequence for rejected in ack.rejected] == [1]
    assert await _objects(database) == {"a": "uid-a"}


async def test_a_batch_larger_than_memory_allows_is_committed_in_steps(
    member: Member, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aggregator.ingest.prepare.CHUNK_BYTES", 1000)
    type_id = member.ids["configmaps"]
    ack = await member.push(*(upsert(type_id, f"o{number}") for number in range(30)), marks=(Mark(type_id, "5"),))
    assert ack.acked == 30
    assert len(await _objects(database)) == 30
    assert await database.readers.fetchval("select count(distinct at) from fleet.change") > 3
    version = await database.readers.fetchval(
        "select resource_version from fleet.cluster_type where type_id = $1", type_id
    )
    assert version == "5"


async def test_clusters_with_equal_objects_stay_apart(member: Member, database: Database) -> None:
    from tests.integration.ingest.conftest import add_member
    from tests.integration.ingest.objects import CONFIG_MAPS

    other = await add_member(member.ingest, "two")
    await other.open()
    await other.announce(CONFIG_MAPS)
    assert other.ids["configmaps"] == member.ids["configmaps"]
    delta: Upsert = upsert(member.ids["configmaps"], "kube-root-ca.crt", uid="same")
    await member.push(delta)
    await other.push(delta)
    await other.push(delete(other.ids["configmaps"], "kube-root-ca.crt", uid="same"))
    rows = await database.readers.fetch("select cluster_id from fleet.object")
    assert [row[0] for row in rows] == [member.agent.cluster_id]


def _compressed(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdCompressor().compress(data)


def _inflated(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)
