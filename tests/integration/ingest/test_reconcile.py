"""Digests and fingerprints say exactly what the rows say."""

from __future__ import annotations

import msgspec
import pytest

from aggregator.storage import digests
from aggregator.storage.pool import Database
from schema.body import unsigned
from schema.errors import BadRequest, Fenced
from schema.wire import BUCKETS, Delta, DigestRequest, FingerprintsRequest, Upsert
from tests.integration.ingest.conftest import Member
from tests.integration.ingest.objects import upsert


def _folded(deltas: list[Upsert]) -> tuple[list[int], list[int]]:
    counts, sums = [0] * BUCKETS, [0] * BUCKETS
    for delta in deltas:
        counts[delta.bucket] += 1
        sums[delta.bucket] = (sums[delta.bucket] + unsigned(delta.fingerprint)) % (1 << 64)
    return counts, sums


async def test_the_digest_of_the_rows_is_the_agents(member: Member) -> None:
    type_id = member.ids["configmaps"]
    deltas = [upsert(type_id, f"o{number}") for number in range(600)]
    bad = msgspec.structs.replace(upsert(type_id, "bad"), body=b"none")
    sent: list[Delta] = [*deltas, bad]
    await member.push(*sent)
    request = DigestRequest(member.epoch, type_id, *_folded([*deltas, bad]))
    assert (await member.ingest.reconcile.digest(member.agent, request)).differing == []
    changed = upsert(type_id, "o5", version="2")
    request = DigestRequest(member.epoch, type_id, *_folded([*deltas[:5], changed, *deltas[6:], bad]))
    assert (await member.ingest.reconcile.digest(member.agent, request)).differing == [changed.bucket]


async def test_a_restart_with_equal_objects_writes_no_row(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    deltas = [upsert(type_id, f"o{number}") for number in range(300)]
    await member.push(*deltas)
    rows = "select name, xmin::text, cursor from fleet.object order by name"
    before = await database.readers.fetch(rows)
    await member.open()
    request = DigestRequest(member.epoch, type_id, *_folded(deltas))
    assert (await member.ingest.reconcile.digest(member.agent, request)).differing == []
    assert await database.readers.fetch(rows) == before


async def test_fingerprints_come_in_whole_buckets_and_name_the_rest(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "MAX_ROWS", 50)
    type_id = member.ids["configmaps"]
    deltas = [upsert(type_id, f"o{number}") for number in range(600)]
    await member.push(*deltas)
    wanted = list(range(100))
    found: dict[str, tuple[str, int]] = {}
    rounds = 0
    while wanted:
        answer = await member.ingest.reconcile.fingerprints(
            member.agent, FingerprintsRequest(member.epoch, type_id, buckets=wanted)
        )
        assert len(answer.rows) <= 50
        found |= {row.name: (row.uid, row.fingerprint) for row in answer.rows}
        wanted = answer.rest
        rounds += 1
    assert rounds > 1
    assert found == {d.name: (d.uid, d.fingerprint) for d in deltas if d.bucket < 100}


async def test_fingerprints_by_key(member: Member) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a"), upsert(type_id, "b"))
    answer = await member.ingest.reconcile.fingerprints(
        member.agent, FingerprintsRequest(member.epoch, type_id, keys=[("default", "b"), ("default", "no")])
    )
    assert [(row.name, row.rejected) for row in answer.rows] == [("b", False)]


async def test_comparisons_are_guarded_too(member: Member) -> None:
    with pytest.raises(Fenced):
        await member.ingest.reconcile.digest(
            member.agent, DigestRequest(member.epoch - 1, 1, [0] * BUCKETS, [0] * BUCKETS)
        )
    with pytest.raises(BadRequest, match="256"):
        await member.ingest.reconcile.digest(member.agent, DigestRequest(member.epoch, 1, [0], [0]))
