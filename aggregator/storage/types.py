"""Types: their ids, and what each cluster serves and holds of them."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
import msgspec

from schema.resource import ResourceType
from schema.wire import GoneType, StoredType, TypeReport

SWEEP_ROWS = 1000


async def type_ids(connection: asyncpg.Connection, keys: Sequence[tuple[str, str, str]]) -> list[int]:
    """Ids of (group, version, resource), made where they are new, in the order asked for."""
    groups, versions, resources = _columns(keys, 3)
    rows = await connection.fetch(_IDS, groups, versions, resources)
    if len(rows) < len(set(keys)):
        # Only what is missing is inserted: a conflict would use up an id each time, for ever.
        await connection.execute(_NEW_IDS, groups, versions, resources)
        rows = await connection.fetch(_IDS, groups, versions, resources)
    ids = {(row[1], row[2], row[3]): row[0] for row in rows}
    return [ids[key] for key in keys]


async def announce(connection: asyncpg.Connection, cluster_id: int, types: Sequence[ResourceType]) -> list[StoredType]:
    """Record that the cluster serves `types`; what it holds of each, in that order. The caller holds the session."""
    if not types:
        return []
    ids = await type_ids(connection, [(type.group, type.version, type.resource) for type in types])
    await connection.execute(
        _ANNOUNCE,
        cluster_id,
        ids,
        [type.kind for type in types],
        [type.namespaced for type in types],
        [msgspec.json.encode(type) for type in types],
    )
    rows = {row["type_id"]: row for row in await connection.fetch(_STORED, cluster_id, ids)}
    return [StoredType(id, rows[id]["resource_version"], rows[id]["shape"], rows[id]["objects"]) for id in ids]


async def set_gone(connection: asyncpg.Connection, cluster_id: int, gone: Sequence[GoneType]) -> None:
    """Mark types for the sweep. An excluded type stays known with its reason (a question for it is answered with that);
    of a gone one nothing stays."""
    for state in ("Gone", "Excluded"):
        chosen = [type for type in gone if type.state == state]
        if not chosen:
            continue
        keys = [(type.group, type.version, type.resource) for type in chosen]
        reasons = [type.reason for type in chosen]
        await connection.execute(_GONE, cluster_id, *_columns(keys, 3), reasons, state)
        if state == "Excluded":
            ids = await type_ids(connection, keys)
            definitions = [msgspec.json.encode(ResourceType(*key, kind="", namespaced=False)) for key in keys]
            await connection.execute(_EXCLUDED, cluster_id, ids, definitions, reasons)


async def unknown(
    connection: asyncpg.Connection, cluster_id: int, known: Sequence[tuple[str, str, str]]
) -> list[tuple[str, str, str]]:
    """Types that the store has of the cluster and `known` has not; those that are being swept are not among them."""
    rows = await connection.fetch(_KNOWN, cluster_id)
    return [key for key in (tuple(row) for row in rows) if key not in set(known)]


async def report(connection: asyncpg.Connection, cluster_id: int, reports: Sequence[TypeReport]) -> None:
    """Record states of types; wakes the catalog where one changed."""
    columns = _columns([(r.type, r.state, r.reason.replace("\x00", "\ufffd"), max(r.lag, 0.0)) for r in reports], 4)
    changed = await connection.fetch(_REPORT, cluster_id, *columns)
    if any(row["changed"] for row in changed):
        await connection.execute("select pg_notify('fleet_catalog', '')")


async def to_sweep(connection: asyncpg.Connection, limit: int = 100) -> list[tuple[int, int]]:
    """(cluster, type) of what is gone or excluded and not swept yet."""
    return [(row[0], row[1]) for row in await connection.fetch(_TO_SWEEP, limit)]


async def sweep(connection: asyncpg.Connection, cluster_id: int, type_id: int, limit: int = SWEEP_ROWS) -> bool:
    """One step of a sweep, a transaction of its own; true where the type is clear."""
    count = await connection.fetchval("select fleet.sweep_type($1, $2, $3)", cluster_id, type_id, limit)
    return bool(count < limit)


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> tuple[tuple[object, ...], ...]:
    return tuple(zip(*rows, strict=True)) if rows else ((),) * width


_IDS = """
select t.id, t.api_group, t.version, t.resource from fleet.resource_type t
  join unnest($1::text[], $2::text[], $3::text[]) as k(api_group, version, resource)
    on t.api_group = k.api_group and t.version = k.version and t.resource = k.resource"""
_NEW_IDS = """
insert into fleet.resource_type (api_group, version, resource)
select distinct k.api_group, k.version, k.resource
  from unnest($1::text[], $2::text[], $3::text[]) as k(api_group, version, resource)
 where not exists (select from fleet.resource_type t where t.api_group = k.api_group and t.version = k.version
                      and t.resource = k.resource)
    on conflict do nothing"""
# A type that comes back while it is swept, or from exclusion, starts anew: nothing of it may be resumed.
_ANNOUNCE = """
insert into fleet.cluster_type as t (cluster_id, type_id, kind, namespaced, definition)
select $1, * from unnest($2::integer[], $3::text[], $4::boolean[], $5::jsonb[])
    on conflict (cluster_id, type_id) do update
   set kind = excluded.kind, namespaced = excluded.namespaced, definition = excluded.definition,
       resource_version = case when t.state in ('Gone', 'Excluded') then '' else t.resource_version end,
       reason = case when t.state in ('Gone', 'Excluded') then '' else t.reason end,
       state = case when t.state in ('Gone', 'Excluded') then 'Pending' else t.state end
 where t.definition <> excluded.definition or t.kind <> excluded.kind or t.state in ('Gone', 'Excluded')"""
# "None" must be true: who is told of an empty store sends without looking. So the counter is not believed for that.
_STORED = """
select t.type_id, t.resource_version, t.shape,
       greatest(t.objects, case
         when exists (select from fleet.object o where o.cluster_id = $1 and o.type_id = t.type_id) then 1
         when exists (select from fleet.rejected r where r.cluster_id = $1 and r.type_id = t.type_id) then 1
         else 0 end) as objects
  from fleet.cluster_type t where t.cluster_id = $1 and t.type_id = any($2::integer[])"""
_GONE = """
update fleet.cluster_type t set state = $6, reason = g.reason, resource_version = '', listed_at = null
  from unnest($2::text[], $3::text[], $4::text[], $5::text[]) as g(api_group, version, resource, reason)
  join fleet.resource_type r on r.api_group = g.api_group and r.version = g.version and r.resource = g.resource
 where t.cluster_id = $1 and t.type_id = r.id and (t.state, t.reason) <> ($6, g.reason)"""
_EXCLUDED = """
insert into fleet.cluster_type (cluster_id, type_id, kind, namespaced, definition, state, reason)
select $1, id, '', false, definition, 'Excluded', reason
  from unnest($2::integer[], $3::jsonb[], $4::text[]) as e(id, definition, reason)
    on conflict (cluster_id, type_id) do nothing"""
_KNOWN = """
select r.api_group, r.version, r.resource from fleet.cluster_type t join fleet.resource_type r on r.id = t.type_id
 where t.cluster_id = $1 and t.state <> 'Gone' order by 1, 2, 3"""
_REPORT = """
with before as (
  select t.type_id, t.state, t.reason from fleet.cluster_type t
   where t.cluster_id = $1 and t.type_id = any($2::integer[]) for update
)
update fleet.cluster_type t
   set state = r.state, reason = r.reason, current_at = now() - make_interval(secs => r.lag)
  from unnest($2::integer[], $3::text[], $4::text[], $5::float8[]) as r(type_id, state, reason, lag), before
 where t.cluster_id = $1 and t.type_id = r.type_id and before.type_id = r.type_id
   and t.state not in ('Gone', 'Excluded')
returning (before.state, before.reason) <> (r.state, r.reason) as changed"""
_TO_SWEEP = """
select t.cluster_id, t.type_id from fleet.cluster_type t
 where t.state = 'Gone' or (t.state = 'Excluded' and (t.objects <> 0
    or exists (select from fleet.rejected r where r.cluster_id = t.cluster_id and r.type_id = t.type_id)))
 order by 1, 2 limit $1"""
