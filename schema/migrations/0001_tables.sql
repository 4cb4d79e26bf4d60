-- Tables of the index. Rules that hold for all of them:
-- * ids of clusters and types are integers and never used again;
-- * names, namespaces, labels sort by byte (COLLATE "C"), so pages follow the members' own order and survive upgrades of
--   the system's libraries;
-- * no column that changes at every update is indexed: it would end HOT updates;
-- * every unique key of object begins with the cluster, so that the table can be distributed by it (Citus);
-- * nothing here needs more than Postgres 15, pg_trgm, and no superuser.
create schema if not exists fleet;
create extension if not exists pg_trgm with schema public;

-- One row: the history of this database. Renewed when it is restored, so that agents compare everything and old cursors
-- are refused. floor: changes up to it are no longer kept.
create table fleet.store (
  one boolean primary key default true check (one),
  lineage uuid not null default gen_random_uuid(),
  floor bigint not null default 0
);
insert into fleet.store default values;

-- Cursors are drawn early in a batch's transaction; readers stop at the watermark (fleet.watermark).
create sequence fleet.cursor as bigint start 1 cache 1;

create table fleet.cluster (
  id integer generated always as identity primary key,
  name text collate "C" not null unique,
  uid text unique,                          -- kube-system's uid; null until the agent first connects
  labels jsonb not null default '{}',
  policy jsonb,                             -- null: the fleet's
  policy_generation integer not null default 1,
  paused boolean not null default false,
  removing boolean not null default false,
  clone boolean not null default false,     -- may share its uid with another cluster (then uid is kept in clone_uid)
  clone_uid text,
  facts jsonb not null default '{}',        -- schema.wire.Facts
  kubeconfig bytea,                         -- inline credentials of a member whose agent runs beside the aggregator
  created timestamptz not null default now(),
  member_seen timestamptz,                  -- when the member's API server last answered the agent
  agent_seen timestamptz,                   -- last heartbeat
  message text not null default ''          -- why the member does not answer
);

create table fleet.setting (name text primary key, value jsonb not null);   -- e.g. the fleet's policy

create table fleet.credential (
  id integer generated always as identity primary key,
  cluster_id integer not null references fleet.cluster (id) on delete cascade,
  token_hash bytea not null unique,         -- sha256; the token itself is shown once
  created timestamptz not null default now(),
  revoked timestamptz
);

create table fleet.token (
  id integer generated always as identity primary key,
  name text collate "C" not null unique,
  token_hash bytea not null unique,
  role text not null check (role in ('admin', 'viewer')),
  clusters text[] not null default '{}',    -- empty: all; names with * as wildcard
  namespaces text[] not null default '{}',
  kinds text[] not null default '{}',
  created timestamptz not null default now(),
  expires timestamptz,
  revoked timestamptz
);

-- One row per cluster: the guard of every batch. A batch commits only where (epoch, acked) is what it follows on.
create table fleet.session (
  cluster_id integer primary key references fleet.cluster (id) on delete cascade,
  epoch bigint not null default 0,
  acked bigint not null default 0,
  instance text not null default '',
  agent_version text not null default '',
  lineage bigint,
  opened timestamptz,
  buffered integer not null default 0,
  buffered_bytes bigint not null default 0
);

create table fleet.resource_type (
  id integer generated always as identity primary key,
  api_group text collate "C" not null,
  version text collate "C" not null,
  resource text collate "C" not null,
  unique (api_group, version, resource)
);

create table fleet.cluster_type (
  cluster_id integer not null references fleet.cluster (id) on delete cascade,
  type_id integer not null references fleet.resource_type (id),
  kind text collate "C" not null,
  namespaced boolean not null,
  definition jsonb not null,                -- schema.resource.ResourceType
  shape text not null default '',
  resource_version text not null default '',
  state text not null default 'Pending',
  reason text not null default '',
  objects bigint not null default 0,        -- kept in the batch's transaction; recounted by the scrub
  current_at timestamptz,                   -- when the agent last knew the type to be current
  listed_at timestamptz,
  primary key (cluster_id, type_id)
);

create table fleet.object (
  cluster_id integer not null,
  type_id integer not null,
  namespace text collate "C" not null,      -- '' for cluster-scoped objects
  name text collate "C" not null,
  uid text not null,
  resource_version text not null,           -- the member's own, compared for equality only
  cursor bigint not null,                   -- of the row's last change: what we serve as resourceVersion
  fingerprint bigint not null,
  bucket smallint not null,
  lossy boolean not null default false,
  created timestamptz,
  status text not null default '',
  owners text[] not null default '{}',
  labels text[] collate "C" not null default '{}',   -- 'key=value' and bare 'key'
  fields text[] collate "C" not null default '{}',   -- 'path=value'
  cells text not null default '[]',         -- JSON: schema.printing cells
  layout integer[] not null,                -- schema.body layout of body
  size integer not null,
  object jsonb not null,                    -- the whole object, for SQL users and arbitrary paths; never read for a page
  body bytea not null,                      -- zstd frame of the exact bytes
  primary key (cluster_id, type_id, namespace, name)
) with (fillfactor = 80, toast.autovacuum_vacuum_scale_factor = 0.1, autovacuum_vacuum_scale_factor = 0.1);
alter table fleet.object alter column body set storage external;
-- The order of a page over all clusters.
create index object_page on fleet.object (type_id, namespace, name, cluster_id);
create index object_labels on fleet.object using gin (labels) with (gin_pending_list_limit = 256);
create index object_fields on fleet.object using gin (fields) with (gin_pending_list_limit = 256);
create index object_name on fleet.object using gin (name public.gin_trgm_ops) with (gin_pending_list_limit = 256);
do $$ begin
  alter table fleet.object alter column object set compression lz4;
exception when others then
  raise notice 'this Postgres has no lz4; pglz it is';
end $$;

-- What could not be stored, with its reason. Part of the digest, so that it is not sent again for ever.
create table fleet.rejected (
  cluster_id integer not null,
  type_id integer not null,
  namespace text collate "C" not null,
  name text collate "C" not null,
  uid text not null,
  fingerprint bigint not null,
  bucket smallint not null,
  reason text not null,
  at timestamptz not null default now(),
  primary key (cluster_id, type_id, namespace, name)
);

-- Append-only; partitions by time are made ahead and dropped whole. It carries what selectors and scopes need of before
-- and after, and the last state of what was deleted.
create table fleet.change (
  cursor bigint not null,
  at timestamptz not null default now(),
  cluster_id integer not null,
  type_id integer not null,                 -- 0 in a cluster-removed change
  op text not null,                         -- added, modified, deleted, cluster-removed
  namespace text collate "C" not null,
  name text collate "C" not null,
  uid text not null,
  resource_version text not null,
  labels text[] collate "C" not null default '{}',
  fields text[] collate "C" not null default '{}',
  labels_before text[] collate "C",         -- null: as labels (and for added: there was nothing before)
  fields_before text[] collate "C",
  created timestamptz,
  cells text,                               -- of a delete: the last state
  layout integer[],
  body bytea
) partition by range (at);
create index change_cursor on fleet.change (cursor);
create table fleet.change_default partition of fleet.change default;

-- What the aggregator wants an agent to do; answered over the agent's long poll.
create table fleet.directive (
  id bigint generated always as identity primary key,
  cluster_id integer not null references fleet.cluster (id) on delete cascade,
  kind text not null,
  args jsonb not null default '{}',
  created timestamptz not null default now(),
  taken timestamptz,
  finished timestamptz,
  error text not null default '',
  result jsonb
);
create index directive_open on fleet.directive (cluster_id, id) where finished is null;

-- Recorded management actions and long work (verify, remove …).
create table fleet.operation (
  id bigint generated always as identity primary key,
  kind text not null,
  actor text not null,
  cluster_id integer,
  args jsonb not null default '{}',
  phase text not null default 'Pending',    -- Pending Running Succeeded Failed
  message text not null default '',
  result jsonb,
  created timestamptz not null default now(),
  finished timestamptz
);

-- The stable view for SQL users. `stale` is filled from the heartbeat (30 s: the default of --stale-after).
create view fleet.objects as
  select c.name as cluster, t.api_group, t.version, t.resource, ct.kind, o.namespace, o.name, o.uid,
         o.object #> '{metadata,labels}' as labels, o.created, o.object,
         coalesce(c.member_seen < now() - interval '30 seconds', true) as stale
  from fleet.object o
  join fleet.cluster c on c.id = o.cluster_id
  join fleet.resource_type t on t.id = o.type_id
  join fleet.cluster_type ct on ct.cluster_id = o.cluster_id and ct.type_id = o.type_id;

-- All cursors up to the watermark are committed or given up. A writer takes, before it draws its first cursor, a shared
-- lock on the sequence's last value (fleet.begin_cursors); numbers in flight are therefore above the lowest lock held.
-- The order of the three steps is the proof: (1) the sequence's value, (2) the locks, (3) a new snapshot for the rows.
create function fleet.watermark() returns bigint language plpgsql volatile as $$
declare
  top bigint;
  low bigint;
begin
  select case when is_called then last_value else last_value - 1 end into top from fleet.cursor;
  select min(((classid::bigint & 65535) << 32) | objid::bigint) into low
    from pg_locks
   where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())
     and objsubid = 1 and (classid::bigint >> 16) = 18012;                    -- 0x465C: ours
  return least(top, coalesce(low, top));
end $$;

create function fleet.begin_cursors() returns void language plpgsql volatile as $$
declare
  top bigint;
begin
  select case when is_called then last_value else last_value - 1 end into top from fleet.cursor;
  perform pg_advisory_xact_lock_shared((18012::bigint << 48) | top);
end $$;
