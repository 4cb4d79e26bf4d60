"""Clusters as rows: registration, names, labels, pause, policy, removal in steps. Whoever changes a cluster wakes the
catalog; whatever ends a session fences it first (session's row, then the cluster's: one order of locks everywhere)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import asyncpg
import msgspec

from aggregator.storage import credentials, sessions
from aggregator.storage.pool import Database
from schema.errors import Conflict, NotFound
from schema.policy import Policy

REMOVE_ROWS = 2000
FORGET_CHANGES = 20_000


class ClusterRow(NamedTuple):
    id: int
    name: str
    uid: str | None
    labels: dict[str, str]
    policy: Policy | None
    policy_generation: int
    paused: bool
    removing: bool
    clone: bool
    kubeconfig: bytes | None
    created: datetime


async def add(
    connection: asyncpg.Connection,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    clone: bool = False,
    kubeconfig: bytes | None = None,
) -> int:
    """Register a cluster; its id. `clone`: may be the same member as another. Raises Conflict for a name in use."""
    try:
        id = await connection.fetchval(_ADD, name, msgspec.json.encode(dict(labels or {})), clone, kubeconfig)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"there is a cluster {name} already; choose another name, or remove that one") from error
    await _wake(connection)
    return int(id)


async def all(database: Database) -> list[ClusterRow]:
    """By name."""
    return [_row(row) for row in await database.readers.fetch(f"{_SELECT} order by name")]


async def get(connection: asyncpg.Connection, name: str) -> ClusterRow:
    """Raises NotFound."""
    rows = await connection.fetch(f"{_SELECT} where name = $1", name)
    if not rows:
        raise NotFound(f"there is no cluster {name}; see: fleetpedia clusters list")
    return _row(rows[0])


async def rename(connection: asyncpg.Connection, id: int, name: str) -> None:
    """Raises Conflict where the name is taken."""
    try:
        await connection.execute("update fleet.cluster set name = $2 where id = $1", id, name)
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"there is a cluster {name} already") from error
    await _wake(connection)


async def set_labels(connection: asyncpg.Connection, id: int, labels: Mapping[str, str]) -> None:
    """All labels, in place of those that there were."""
    await connection.execute(
        "update fleet.cluster set labels = $2 where id = $1", id, msgspec.json.encode(dict(labels))
    )
    await _wake(connection)


async def set_paused(connection: asyncpg.Connection, id: int, paused: bool) -> None:
    """The agent learns it by the next heartbeat, or at once by the directive `reload`."""
    await connection.execute("update fleet.cluster set paused = $2 where id = $1", id, paused)
    await _wake(connection)


async def set_kubeconfig(connection: asyncpg.Connection, id: int, kubeconfig: bytes | None) -> None:
    """Inline credentials of a member whose agent runs beside the aggregator."""
    await connection.execute("update fleet.cluster set kubeconfig = $2 where id = $1", id, kubeconfig)


async def set_policy(connection: asyncpg.Connection, id: int, policy: Policy | None) -> None:
    """None: the fleet's. The generation rises, by which agents know that theirs is old."""
    data = msgspec.json.encode(policy) if policy is not None else None
    await connection.execute(
        "update fleet.cluster set policy = $2, policy_generation = policy_generation + 1 where id = $1", id, data
    )
    await _wake(connection)


async def fleet_policy(connection: asyncpg.Connection) -> Policy:
    data = await connection.fetchval("select value from fleet.setting where name = 'policy'")
    return msgspec.json.decode(data, type=Policy) if data else Policy()


async def set_fleet_policy(connection: asyncpg.Connection, policy: Policy) -> None:
    """For all clusters without one of their own."""
    await connection.execute(_SET_POLICY, msgspec.json.encode(policy))
    await connection.execute("update fleet.cluster set policy_generation = policy_generation + 1 where policy is null")
    await _wake(connection)


async def beside(database: Database) -> dict[str, bytes]:
    """Kubeconfigs by name, of the clusters whose agent runs beside the aggregator."""
    rows = await database.readers.fetch(
        "select name, kubeconfig from fleet.cluster where kubeconfig is not null and not removing"
    )
    return {row["name"]: row["kubeconfig"] for row in rows}


async def without_policy(connection: asyncpg.Connection) -> list[int]:
    """Ids of the clusters for which the fleet's policy holds."""
    rows = await connection.fetch("select id from fleet.cluster where policy is null and not removing")
    return [row[0] for row in rows]


async def rebind(connection: asyncpg.Connection, id: int) -> None:
    """Forget the member's identity: the next that shows itself with the credential is taken. Its rows are compared
    anew, since nothing of the old member's versions holds for the new one."""
    await sessions.fence(connection, id)
    await connection.execute("update fleet.cluster set uid = null, clone_uid = null where id = $1", id)
    await connection.execute("update fleet.cluster_type set resource_version = '' where cluster_id = $1", id)
    await connection.execute("update fleet.session set lineage = null where cluster_id = $1", id)
    await _wake(connection)


async def begin_removal(connection: asyncpg.Connection, id: int) -> None:
    """From here on the cluster takes nothing in and its credentials are void; then call remove_step until done."""
    await sessions.fence(connection, id)
    await connection.execute("update fleet.cluster set removing = true, kubeconfig = null where id = $1", id)
    await credentials.revoke(connection, id)
    await _wake(connection)


async def remove_step(connection: asyncpg.Connection, id: int, limit: int = REMOVE_ROWS) -> bool:
    """Delete at most `limit` objects of a cluster that is being removed; true once nothing of it is left.

    No delete is logged per object: the end is one `cluster-removed`, by which watchers list anew (traps 5)."""
    async with connection.transaction():
        removing = await connection.fetch(_REMOVING, id)
        if not removing:
            return True
        status = await connection.execute(_REMOVE_OBJECTS, id, limit)
        if int(status.split()[-1]) == limit:
            return False
        await connection.execute("delete from fleet.rejected where cluster_id = $1", id)
        await connection.execute("select fleet.begin_cursors()")
        await connection.execute(_REMOVED, id, removing[0]["name"])
        await connection.execute("delete from fleet.cluster where id = $1", id)
        await connection.execute("select pg_notify('fleet_change', ''), pg_notify('fleet_catalog', '')")
        return True


async def forget_changes(connection: asyncpg.Connection, id: int, after: int) -> int | None:
    """Delete what the change log holds of a cluster that is being removed, among the `FORGET_CHANGES` changes behind
    the cursor `after`. Returns where to go on, None at the end. Watchers miss nothing: `cluster-removed` ends them."""
    upto = await connection.fetchval(_NEXT_CHANGES, after, FORGET_CHANGES)
    if upto is None:
        return None
    await connection.execute(_FORGET_CHANGES, id, after, upto)
    return int(upto)


async def being_removed(connection: asyncpg.Connection) -> list[int]:
    """Ids of clusters whose removal is not done; a restart goes on with them."""
    return [row[0] for row in await connection.fetch("select id from fleet.cluster where removing order by id")]


def _row(row: asyncpg.Record) -> ClusterRow:
    return ClusterRow(
        id=row["id"],
        name=row["name"],
        uid=row["uid"],
        labels=msgspec.json.decode(row["labels"], type=dict[str, str]),
        policy=msgspec.json.decode(row["policy"], type=Policy) if row["policy"] is not None else None,
        policy_generation=row["policy_generation"],
        paused=row["paused"],
        removing=row["removing"],
        clone=row["clone"],
        kubeconfig=row["kubeconfig"],
        created=row["created"],
    )


async def _wake(connection: asyncpg.Connection) -> None:
    await connection.execute("select pg_notify('fleet_catalog', '')")


_SELECT = """
select id, name, coalesce(uid, clone_uid) as uid, labels, policy, policy_generation, paused, removing, clone,
       kubeconfig, created
  from fleet.cluster"""
_ADD = "insert into fleet.cluster (name, labels, clone, kubeconfig) values ($1, $2, $3, $4) returning id"
_SET_POLICY = """
insert into fleet.setting (name, value) values ('policy', $1)
    on conflict (name) do update set value = excluded.value"""
_REMOVING = "select name from fleet.cluster where id = $1 and removing for update"
_REMOVE_OBJECTS = """
delete from fleet.object o using (
  select type_id, namespace, name from fleet.object where cluster_id = $1 limit $2
) as step
 where o.cluster_id = $1 and o.type_id = step.type_id and o.namespace = step.namespace and o.name = step.name"""
_NEXT_CHANGES = """
select max(cursor) from (select cursor from fleet.change where cursor > $1 order by cursor limit $2) as next"""
_FORGET_CHANGES = "delete from fleet.change where cluster_id = $1 and cursor > $2 and cursor <= $3"
_REMOVED = """
insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version)
values (nextval('fleet.cursor'), $1, 0, 'cluster-removed', '', $2, '', '')"""


class Standing(NamedTuple):
    """`epoch`: of the session. `heard`: the agent has sent a heartbeat in it, so what is stored of types is of it."""

    epoch: int
    heard: bool


async def standing(database: Database, id: int) -> Standing:
    """How far a cluster's session is."""
    row = await database.readers.fetchrow(_STANDING, id)
    return Standing(row["epoch"], bool(row["heard"])) if row else Standing(0, False)


_STANDING = """
select s.epoch, c.agent_seen > s.opened as heard
  from fleet.session s join fleet.cluster c on c.id = s.cluster_id where s.cluster_id = $1"""
