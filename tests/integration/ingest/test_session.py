"""Who may write a cluster, and what it is told when it begins."""

from __future__ import annotations

import msgspec
import pytest

from aggregator.ingest.service import Ingest
from aggregator.storage import clusters, directives
from aggregator.storage import types as type_storage
from aggregator.storage.pool import Database
from schema.errors import Conflict, Fenced, Forbidden, Unprocessable
from schema.policy import Policy, Rule
from schema.resource import ResourceType
from schema.wire import (
    Announce,
    AnnouncedType,
    DirectiveResult,
    Facts,
    GoneType,
    Heartbeat,
    Hello,
    Mark,
    TypeReport,
)
from tests.integration.ingest.conftest import Member, add_member
from tests.integration.ingest.objects import CONFIG_MAPS, POD_TYPE, upsert


def _hello(uid: str, **more: object) -> Hello:
    return Hello(**({"wire": 1, "agent_version": "1", "instance": "i", "kube_system_uid": uid} | more))  # type: ignore[arg-type]


async def test_each_session_has_a_higher_epoch_and_the_policy(member: Member, database: Database) -> None:
    policy = Policy(exclude=(Rule(resources=("secrets",)),))
    async with database.writers.transaction() as connection:
        await clusters.set_fleet_policy(connection, policy)
    welcome = await member.ingest.sessions.hello(member.agent, _hello(member.uid))
    assert (welcome.epoch, welcome.cluster, welcome.policy, welcome.policy_generation) == (2, "one", policy, 2)
    assert welcome.store == str(await database.readers.fetchval("select lineage from fleet.store"))


async def test_a_credential_stays_with_the_first_member_that_shows_it(member: Member, database: Database) -> None:
    with pytest.raises(Conflict, match="fleetpedia clusters rebind one"):
        await member.ingest.sessions.hello(member.agent, _hello("someone else"))
    async with database.writers.transaction() as connection:
        await clusters.rebind(connection, member.agent.cluster_id)
    await member.ingest.sessions.hello(member.agent, _hello("someone else"))


async def test_one_member_under_two_names_is_refused_unless_a_clone(member: Member, ingest: Ingest) -> None:
    second = await add_member(ingest, "two", uid=member.uid)
    with pytest.raises(Conflict, match="--allow-clone"):
        await second.open()
    clone = await add_member(ingest, "three", uid=member.uid, clone=True)
    await clone.open()
    assert clone.epoch == 1
    with pytest.raises(Conflict, match="rebind three"):
        await ingest.sessions.hello(clone.agent, _hello("another"))


async def test_a_cluster_that_is_removed_lets_nobody_in(member: Member, database: Database) -> None:
    async with database.writers.transaction() as connection:
        await clusters.begin_removal(connection, member.agent.cluster_id)
    with pytest.raises(Fenced):
        await member.push(upsert(member.ids["configmaps"], "a"))
    with pytest.raises(Forbidden, match="being removed"):
        await member.open()


async def test_a_far_wire_version_is_refused(member: Member) -> None:
    await member.ingest.sessions.hello(member.agent, _hello(member.uid, wire=2))
    with pytest.raises(Unprocessable, match="wire version 3"):
        await member.ingest.sessions.hello(member.agent, _hello(member.uid, wire=3))


async def test_a_member_that_was_rewound_resumes_nothing(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.open(lineage=10)
    await member.push(upsert(type_id, "a"), marks=(Mark(type_id, "900", True, "s"),))
    welcome = await member.ingest.sessions.hello(member.agent, _hello(member.uid, lineage=4))
    assert welcome.lineage == 10
    # The agent dies before it has acted on that; its next session must not resume either.
    await member.open(lineage=5)
    answer = await member.ingest.sessions.announce(
        member.agent, Announce(member.epoch, [AnnouncedType(CONFIG_MAPS, "s")])
    )
    assert (answer.types[0].resource_version, answer.types[0].objects) == ("", 1)


async def test_types_have_stable_ids_and_say_what_is_stored(member: Member) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a"), marks=(Mark(type_id, "5", True, "s1"),))
    await member.open()
    answer = await member.ingest.sessions.announce(
        member.agent,
        Announce(member.epoch, [AnnouncedType(POD_TYPE, "s"), AnnouncedType(CONFIG_MAPS, "s")], complete=True),
    )
    assert [(t.id, t.resource_version, t.shape, t.objects) for t in answer.types] == [
        (member.ids["pods"], "", "", 0),
        (type_id, "5", "s1", 1),
    ]
    assert answer.unknown == []
    again = await member.ingest.sessions.announce(
        member.agent, Announce(member.epoch, [AnnouncedType(POD_TYPE, "s")], complete=True)
    )
    assert again.unknown == [("", "v1", "configmaps")]


async def test_a_store_is_only_called_empty_when_it_is(member: Member, database: Database) -> None:
    type_id = member.ids["configmaps"]
    await member.push(upsert(type_id, "a"))
    await database.writers.execute("update fleet.cluster_type set objects = 0")
    answer = await member.ingest.sessions.announce(
        member.agent, Announce(member.epoch, [AnnouncedType(CONFIG_MAPS, "s")])
    )
    assert answer.types[0].objects == 1


async def test_a_type_that_is_gone_is_swept_in_steps_with_its_changes(member: Member, database: Database) -> None:
    type_id, id = member.ids["configmaps"], member.agent.cluster_id
    await member.push(*(upsert(type_id, f"o{number}") for number in range(25)))
    gone = GoneType("", "v1", "configmaps", "Gone", "the CRD was deleted")
    await member.ingest.sessions.announce(member.agent, Announce(member.epoch, [], [gone]))
    assert member.ingest.sweep_wanted.is_set()
    ack = await member.push(upsert(type_id, "late"))
    assert "not announced" in ack.rejected[0].reason
    async with database.writers.acquire() as connection:
        assert await type_storage.to_sweep(connection) == [(id, type_id)]
        steps = [await type_storage.sweep(connection, id, type_id, 10) for _ in range(3)]
        assert await type_storage.to_sweep(connection) == []
    assert steps == [False, False, True]
    assert await database.readers.fetchval("select count(*) from fleet.object") == 0
    assert await database.readers.fetchval("select count(*) from fleet.change where op = 'deleted'") == 25
    assert await database.readers.fetchval("select count(*) from fleet.cluster_type where type_id = $1", type_id) == 0


async def test_a_type_that_comes_back_stops_its_sweep(member: Member, database: Database) -> None:
    type_id, id = member.ids["configmaps"], member.agent.cluster_id
    await member.push(*(upsert(type_id, f"o{number}") for number in range(25)), marks=(Mark(type_id, "5", True, "s"),))
    gone = GoneType("", "v1", "configmaps", "Excluded", "the sync policy excludes it")
    await member.ingest.sessions.announce(member.agent, Announce(member.epoch, [], [gone]))
    async with database.writers.acquire() as connection:
        await type_storage.sweep(connection, id, type_id, 10)
        answer = await member.ingest.sessions.announce(
            member.agent, Announce(member.epoch, [AnnouncedType(CONFIG_MAPS, "s")])
        )
        assert (answer.types[0].objects, answer.types[0].resource_version) == (15, "")
        assert await type_storage.sweep(connection, id, type_id, 10)
    assert await database.readers.fetchval("select count(*) from fleet.object") == 15


async def test_an_excluded_type_stays_known_with_its_reason(member: Member, database: Database) -> None:
    gone = GoneType("example.com", "v1", "widgets", "Excluded", "the sync policy excludes widgets (exclude[0])")
    for _ in range(2):
        await member.ingest.sessions.announce(member.agent, Announce(member.epoch, [], [gone]))
    row = await database.readers.fetchrow("select state, reason from fleet.cluster_type where state = 'Excluded'")
    assert row is not None
    assert "exclude[0]" in row["reason"]
    widgets = ResourceType("example.com", "v1", "widgets", "Widget", True)
    await member.announce(widgets)
    state = await database.readers.fetchval("select state from fleet.cluster_type where kind = 'Widget'")
    assert state == "Pending"


async def test_a_heartbeat_records_life_facts_and_states(member: Member, database: Database) -> None:
    facts = Facts(kubernetes_version="v1.37.2", nodes=3)
    report = TypeReport(member.ids["pods"], "Denied", "pods is forbidden", lag=12.0)
    await database.writers.execute("update fleet.cluster set member_seen = now() - interval '1 hour'")
    reply = await member.ingest.sessions.heartbeat(
        member.agent, Heartbeat(member.epoch, 7.0, facts, [report], 3, 900, "slow")
    )
    assert (reply.policy_generation, reply.paused) == (1, False)
    row = await database.readers.fetchrow("select *, extract(epoch from now() - member_seen) as age from fleet.cluster")
    assert row is not None
    assert 6.9 < row["age"] < 9
    assert msgspec.json.decode(row["facts"], type=Facts) == facts
    assert row["message"] == "slow"
    state = await database.readers.fetchrow(
        "select state, reason from fleet.cluster_type where type_id = $1", member.ids["pods"]
    )
    assert state is not None
    assert tuple(state) == ("Denied", "pods is forbidden")
    with pytest.raises(Fenced):
        await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch - 1, 0.0))


async def test_a_heartbeat_never_takes_life_back(member: Member, database: Database) -> None:
    await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch, 0.0))
    before = await database.readers.fetchval("select member_seen from fleet.cluster")
    await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch, 300.0, message="no answer"))
    assert await database.readers.fetchval("select member_seen from fleet.cluster") == before


async def test_words_that_the_store_cannot_hold_do_not_stop_heartbeats(member: Member, database: Database) -> None:
    """A broken API server may answer anything, and a refused heartbeat would be repeated for ever."""
    failed = TypeReport(member.ids["pods"], "Failed", "odd \x00 answer")
    await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch, 0.0, types=[failed], message="\x00"))
    assert await database.readers.fetchval("select message from fleet.cluster") == "\ufffd"
    reason = "select reason from fleet.cluster_type where state = 'Failed'"
    assert await database.readers.fetchval(reason) == "odd \ufffd answer"
    async with database.writers.transaction() as connection:
        id = await directives.add(connection, member.agent.cluster_id, "verify")
        await directives.finish(connection, member.agent.cluster_id, [DirectiveResult(id, "\x00", {"a": "\x00"})])
    state = await directives.get(database, id)
    assert state is not None
    assert (state.error, state.result) == ("\ufffd", {"a": "\ufffd"})


async def test_a_clock_that_was_set_back_does_not_keep_a_member_alive(member: Member, database: Database) -> None:
    await database.writers.execute("update fleet.cluster set member_seen = now() + interval '1 hour'")
    await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch, 300.0, message="no answer"))
    age = await database.readers.fetchval("select extract(epoch from now() - member_seen)::int from fleet.cluster")
    assert 299 <= age <= 320


async def test_a_backup_from_after_the_hello_is_seen_as_a_rewind(member: Member, database: Database) -> None:
    await member.open(lineage=10)
    await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch, 0.0, lineage=14))
    await member.ingest.sessions.heartbeat(member.agent, Heartbeat(member.epoch, 0.0))
    welcome = await member.ingest.sessions.hello(member.agent, _hello(member.uid, lineage=12))
    assert welcome.lineage == 14


async def test_the_cluster_is_whole_gone_after_its_removal(member: Member, database: Database) -> None:
    id = member.agent.cluster_id
    await member.push(*(upsert(member.ids["configmaps"], f"o{number}") for number in range(7)))
    async with database.writers.acquire() as connection:
        await clusters.begin_removal(connection, id)
        steps = 0
        while not await clusters.remove_step(connection, id, 3):
            steps += 1
    assert steps == 2
    for table in ("object", "cluster", "cluster_type", "session", "credential", "rejected"):
        assert await database.readers.fetchval(f"select count(*) from fleet.{table}") == 0, table
    last = await database.readers.fetchrow("select op, name from fleet.change order by cursor desc limit 1")
    assert last is not None
    assert tuple(last) == ("cluster-removed", "one")
