"""Sessions: who may write a cluster's rows just now. The epoch only grows; a batch of an older one is fenced off."""

from __future__ import annotations

from typing import NamedTuple

import asyncpg
import msgspec

from aggregator.storage.pool import Database
from schema.errors import Conflict, Fenced, Forbidden, NotFound
from schema.policy import Policy
from schema.wire import Facts, Hello


class Opened(NamedTuple):
    """`lineage`: the counter stored before this session; `rewound`: the member's is lower, so its versions mean nothing
    any more and no type may be resumed."""

    epoch: int
    store: str
    lineage: int | None
    rewound: bool
    policy: Policy
    policy_generation: int
    paused: bool


async def open_session(database: Database, cluster_id: int, hello: Hello) -> Opened:
    """Begin a session in one transaction: bind the member's identity, raise the epoch, forget what cannot be resumed.

    Raises NotFound, Forbidden (the cluster is being removed), Conflict (another identity than the credential's)."""
    async with database.writers.transaction() as connection:
        # The session's row first, then the cluster's: the same order everywhere, so that nobody waits in a circle.
        old = await _fetchrow(connection, _SESSION, cluster_id)
        cluster = await _fetchrow(connection, _CLUSTER, cluster_id)
        if cluster is None:
            raise NotFound("the cluster of this credential does not exist any more")
        if cluster["removing"]:
            raise Forbidden(f"cluster {cluster['name']} is being removed")
        await _bind(connection, cluster, hello.kube_system_uid)
        lineage = old["lineage"] if old else None
        rewound = lineage is not None and hello.lineage is not None and hello.lineage < lineage
        epoch = await connection.fetchval(_OPEN, cluster_id, hello.instance, hello.agent_version, hello.lineage)
        if rewound:
            # Kept in the store, not only told: this session may die before the agent has acted on it.
            await connection.execute(
                "update fleet.cluster_type set resource_version = '' where cluster_id = $1", cluster_id
            )
        await connection.execute(_FACTS, cluster_id, msgspec.json.encode(hello.facts))
        await connection.execute(_RELOADED, cluster_id)
        await connection.execute("select pg_notify('fleet_catalog', '')")
        store = await connection.fetchval("select lineage from fleet.store")
        policy = cluster["policy"] or await connection.fetchval("select value from fleet.setting where name = 'policy'")
    return Opened(
        epoch=epoch,
        store=str(store),
        lineage=lineage,
        rewound=rewound,
        policy=msgspec.json.decode(policy, type=Policy) if policy else Policy(),
        policy_generation=cluster["policy_generation"],
        paused=cluster["paused"],
    )


async def note(database: Database, cluster_id: int, message: str) -> None:
    """Why a cluster's agent cannot begin a session; the next session or heartbeat replaces it."""
    async with database.writers.transaction() as connection:
        sql = "update fleet.cluster set message = $2, agent_seen = now() where id = $1"
        await connection.execute(sql, cluster_id, message)
        await connection.execute("select pg_notify('fleet_catalog', '')")


async def lock(connection: asyncpg.Connection, cluster_id: int, epoch: int) -> None:
    """Hold the session until the transaction's end: nothing else writes the cluster's rows. Raises Fenced."""
    row = await _fetchrow(connection, _LOCK, cluster_id, epoch)
    if row is None:
        raise fenced(epoch)


async def check(connection: asyncpg.Connection, cluster_id: int, epoch: int) -> None:
    """Raises Fenced where `epoch` is not the cluster's session (any more)."""
    sql = "select 1 from fleet.session where cluster_id = $1 and epoch = $2"
    if await _fetchrow(connection, sql, cluster_id, epoch) is None:
        raise fenced(epoch)


async def fence(connection: asyncpg.Connection, cluster_id: int) -> None:
    """End the cluster's session whoever has it: its next message is answered with Fenced."""
    await connection.execute("update fleet.session set epoch = epoch + 1, acked = 0 where cluster_id = $1", cluster_id)


def fenced(epoch: int) -> Fenced:
    return Fenced(f"session {epoch} has ended: a newer one began, or the cluster is gone; open a new one")


class Heartbeat(NamedTuple):
    """`member_seen`: seconds ago. `lineage`: the Lease's counter as last renewed."""

    member_seen: float
    facts: Facts | None
    message: str
    buffered: int
    buffered_bytes: int
    lineage: int | None = None


class Standing(NamedTuple):
    policy_generation: int
    paused: bool
    store: str


async def beat(connection: asyncpg.Connection, cluster_id: int, epoch: int, heartbeat: Heartbeat) -> Standing:
    """Record a heartbeat. Raises Fenced."""
    facts = msgspec.json.encode(heartbeat.facts) if heartbeat.facts is not None else None
    row = await _fetchrow(
        connection,
        _BEAT,
        cluster_id,
        epoch,
        heartbeat.buffered,
        heartbeat.buffered_bytes,
        max(heartbeat.member_seen, 0.0),
        facts,
        heartbeat.message,
        heartbeat.lineage,
    )
    if row is None:
        raise fenced(epoch)
    return Standing(row["policy_generation"], row["paused"], str(row["store"]))


async def _bind(connection: asyncpg.Connection, cluster: asyncpg.Record, uid: str) -> None:
    """Tie the cluster to the member that shows itself first; refuse every other."""
    name, known = cluster["name"], cluster["uid"] or cluster["clone_uid"]
    if known == uid:
        return
    if known:
        raise Conflict(
            f"this credential belongs to the cluster {name} with the identity {known}, but the member shows {uid}; if "
            f"the member was rebuilt, run: fleetpedia clusters rebind {name}",
            details={"cluster": name, "bound": known, "shown": uid},
        )
    # Two clusters that bind at the same moment stand in line here.
    await connection.execute("select pg_advisory_xact_lock(465, hashtext($1))", uid)
    other = await connection.fetchval("select name from fleet.cluster where uid = $1", uid)
    if other is None:
        await connection.execute("update fleet.cluster set uid = $2 where id = $1", cluster["id"], uid)
    elif cluster["clone"]:
        await connection.execute("update fleet.cluster set clone_uid = $2 where id = $1", cluster["id"], uid)
    else:
        raise Conflict(
            f"this member (identity {uid}) is the cluster {other} already; if it is a clone, add it with "
            f"--allow-clone; if {other} is no more, run: fleetpedia clusters remove {other}",
            details={"cluster": name, "other": other, "shown": uid},
        )


async def _fetchrow(connection: asyncpg.Connection, sql: str, *args: object) -> asyncpg.Record | None:
    rows = await connection.fetch(sql, *args)
    return rows[0] if rows else None


_SESSION = "select lineage from fleet.session where cluster_id = $1 for update"
_CLUSTER = """
select id, name, uid, clone, clone_uid, removing, paused, policy, policy_generation
  from fleet.cluster where id = $1 for update"""
_OPEN = """
insert into fleet.session (cluster_id, epoch, acked, instance, agent_version, lineage, opened)
values ($1, 1, 0, $2, $3, $4, now())
    on conflict (cluster_id) do update
   set epoch = session.epoch + 1, acked = 0, instance = excluded.instance, agent_version = excluded.agent_version,
       lineage = coalesce(excluded.lineage, session.lineage), opened = now(), buffered = 0, buffered_bytes = 0
returning epoch"""
_LOCK = "select 1 from fleet.session where cluster_id = $1 and epoch = $2 for update"
_FACTS = "update fleet.cluster set facts = $2, agent_seen = now(), member_seen = now(), message = '' where id = $1"
# Every new session has the newest policy: what asked for one is done.
_RELOADED = """
update fleet.directive set finished = now() where cluster_id = $1 and kind = 'reload' and finished is null"""
# A member_seen in the future (the clock was set back) must not make a member that is away look present until then.
_BEAT = """
with session as (
  update fleet.session set buffered = $3, buffered_bytes = $4, lineage = greatest(lineage, $8::bigint)
   where cluster_id = $1 and epoch = $2 returning cluster_id
)
update fleet.cluster c
   set agent_seen = now(), member_seen = greatest(
         case when c.member_seen <= now() then c.member_seen end, now() - make_interval(secs => $5)),
       facts = coalesce($6, c.facts), message = $7
  from session, fleet.store
 where c.id = session.cluster_id
returning c.policy_generation, c.paused, store.lineage as store"""
