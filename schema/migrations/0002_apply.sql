-- How a batch becomes rows. One call, one transaction: guard, rows, counters, change log, marks.
--
-- All that writes a cluster's objects holds the lock on its row of fleet.session first, so what is read below it stands
-- still until commit. That is why this is a function and not one statement: each statement in it sees what was committed
-- before the lock was granted.
--
-- Its plans must not depend on how full the table was when they were made: they are generic, made once per connection,
-- and go by the primary key whatever the statistics say (a plan from when the table was empty costs two to six times as
-- much later).
--
-- Parallel arrays; lists within a row travel as one text joined by \x1f, since unnest would flatten arrays of arrays.
-- The caller gives each key at most once among upserts and rejects together. Deletes come first. p_types: the types of
-- all of them. outcome: applied, duplicate, gap, fenced, unknown-type; all but the first changed nothing.
create function fleet.apply_batch(
  p_cluster integer, p_epoch bigint, p_first bigint, p_last bigint, p_types integer[],
  u_type integer[], u_namespace text[], u_name text[], u_uid text[], u_version text[], u_fingerprint bigint[],
  u_bucket smallint[], u_lossy boolean[], u_created bigint[], u_status text[], u_owners text[], u_labels text[],
  u_fields text[], u_cells text[], u_layout text[], u_size integer[], u_object jsonb[], u_body bytea[],
  d_type integer[], d_namespace text[], d_name text[], d_uid text[],
  r_type integer[], r_namespace text[], r_name text[], r_uid text[], r_fingerprint bigint[], r_bucket smallint[],
  r_reason text[],
  m_type integer[], m_version text[], m_listed boolean[], m_shape text[],
  out outcome text, out acked bigint, out noops integer, out added integer, out modified integer, out deleted integer
) language plpgsql volatile
  set plan_cache_mode = force_generic_plan
  set enable_hashjoin = off
  set enable_mergejoin = off
  set enable_seqscan = off
  -- Trigram indexes answer equality too, by a bitmap over their pending list: five times the cost of a whole batch.
  set enable_bitmapscan = off
as $$
declare
  v_epoch bigint;
  v_count integer;
  v_types integer[];
  v_deltas bigint[];
begin
  noops := 0; added := 0; modified := 0; deleted := 0;
  update fleet.session s set acked = p_last
   where s.cluster_id = p_cluster and s.epoch = p_epoch and s.acked = p_first - 1;
  if not found then
    select s.epoch, s.acked into v_epoch, acked from fleet.session s where s.cluster_id = p_cluster;
    outcome := case when v_epoch is distinct from p_epoch then 'fenced'
                    when acked >= p_last then 'duplicate'
                    else 'gap' end;
    return;
  end if;
  -- A type that was swept meanwhile gains no rows any more; the caller takes its deltas out and comes again.
  perform from unnest(p_types) as p(id)
    where not exists (select from fleet.cluster_type t where t.cluster_id = p_cluster and t.type_id = p.id
                         and t.state not in ('Gone', 'Excluded'));
  if found then
    update fleet.session s set acked = p_first - 1 where s.cluster_id = p_cluster;
    outcome := 'unknown-type';
    acked := p_first - 1;
    return;
  end if;
  outcome := 'applied';
  acked := p_last;

  if p_last >= p_first then
    perform fleet.begin_cursors();
  end if;

  -- Deletes, by key and uid: a late delete must not take the object that was made anew under the name. One by one: over
  -- a join the planner may, while the table is small, choose to go over all rows of the cluster for each.
  for i in 1 .. cardinality(d_type) loop
    with gone as (
      delete from fleet.object o
       where o.cluster_id = p_cluster and o.type_id = d_type[i] and o.namespace = d_namespace[i] and o.name = d_name[i]
         and o.uid = d_uid[i]
      returning o.*
    )
    insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version, labels, fields,
                              created, cells, layout, body)
    select nextval('fleet.cursor'), cluster_id, type_id, 'deleted', namespace, name, uid, resource_version, labels,
           fields, created, cells, layout, body
      from gone;
    if found then
      deleted := deleted + 1;
      v_types := v_types || d_type[i];
      v_deltas := v_deltas || -1::bigint;
    else
      delete from fleet.rejected r
       where r.cluster_id = p_cluster and r.type_id = d_type[i] and r.namespace = d_namespace[i] and r.name = d_name[i]
         and r.uid = d_uid[i];
      if not found then
        noops := noops + 1;
      end if;
    end if;
  end loop;

  -- What cannot be stored leaves no older state behind that would look like the present.
  for i in 1 .. cardinality(r_type) loop
    with gone as (
      delete from fleet.object o
       where o.cluster_id = p_cluster and o.type_id = r_type[i] and o.namespace = r_namespace[i] and o.name = r_name[i]
      returning o.*
    )
    insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version, labels, fields,
                              created, cells, layout, body)
    select nextval('fleet.cursor'), cluster_id, type_id, 'deleted', namespace, name, uid, resource_version, labels,
           fields, created, cells, layout, body
      from gone;
    if found then
      deleted := deleted + 1;
      v_types := v_types || r_type[i];
      v_deltas := v_deltas || -1::bigint;
    end if;
    insert into fleet.rejected (cluster_id, type_id, namespace, name, uid, fingerprint, bucket, reason)
    values (p_cluster, r_type[i], r_namespace[i], r_name[i], r_uid[i], r_fingerprint[i], r_bucket[i], r_reason[i])
        on conflict (cluster_id, type_id, namespace, name) do update
       set uid = excluded.uid, fingerprint = excluded.fingerprint, bucket = excluded.bucket,
           reason = excluded.reason, at = excluded.at;
  end loop;

  if cardinality(u_type) > 0 then
    if exists (select from fleet.rejected r where r.cluster_id = p_cluster) then
      delete from fleet.rejected r using unnest(u_type, u_namespace, u_name) as u(type_id, namespace, name)
       where r.cluster_id = p_cluster and r.type_id = u.type_id and r.namespace = u.namespace and r.name = u.name;
    end if;

    -- Wide columns are taken from the arrays by position (they are expanded: no search), so that they pass through no
    -- intermediate result. A row that says the same already is left alone. Another uid under the name is two changes;
    -- its delete is logged with the old state and the lower cursor.
    with u as (
      select * from unnest(u_type, u_namespace, u_name, u_fingerprint) with ordinality as u(type_id, namespace, name, fingerprint, i)
    ), todo as materialized (
      select u.*, o.uid as old_uid, o.uid <> u_uid[u.i] as replaced, o.resource_version as old_version,
             o.labels as old_labels, o.fields as old_fields, o.created as old_created,
             case when o.uid <> u_uid[u.i] then o.cells end as old_cells,
             case when o.uid <> u_uid[u.i] then o.layout end as old_layout,
             case when o.uid <> u_uid[u.i] then o.body end as old_body,
             case when o.uid <> u_uid[u.i] then nextval('fleet.cursor') end as old_cursor,
             nextval('fleet.cursor') as cursor,
             case when u_created[u.i] <> 0 then to_timestamp(u_created[u.i]) end as created,
             string_to_array(u_labels[u.i], E'\x1f') as labels, string_to_array(u_fields[u.i], E'\x1f') as fields
        -- lateral with a limit: one look by the whole key for each. A join could be planned, while the table is small, as
        -- going over all rows of the cluster for each.
        from u left join lateral (
          select * from fleet.object o
           where o.cluster_id = p_cluster and o.type_id = u.type_id and o.namespace = u.namespace and o.name = u.name
           limit 1
        ) as o on true
       where o.fingerprint is distinct from u.fingerprint
    ), stored as (
      insert into fleet.object (cluster_id, type_id, namespace, name, uid, resource_version, cursor, fingerprint, bucket,
                                lossy, created, status, owners, labels, fields, cells, layout, size, object, body)
      select p_cluster, type_id, namespace, name, u_uid[i], u_version[i], cursor, fingerprint, u_bucket[i], u_lossy[i],
             created, u_status[i], string_to_array(u_owners[i], E'\x1f'), labels, fields, u_cells[i],
             u_layout[i]::integer[], u_size[i], u_object[i], u_body[i]
        from todo
          on conflict (cluster_id, type_id, namespace, name) do update
         set uid = excluded.uid, resource_version = excluded.resource_version, cursor = excluded.cursor,
             fingerprint = excluded.fingerprint, bucket = excluded.bucket, lossy = excluded.lossy,
             created = excluded.created, status = excluded.status, owners = excluded.owners, labels = excluded.labels,
             fields = excluded.fields, cells = excluded.cells, layout = excluded.layout, size = excluded.size,
             object = excluded.object, body = excluded.body
    ), logged as (
      insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version, labels, fields,
                                labels_before, fields_before, created, cells, layout, body)
      select old_cursor, p_cluster, type_id, 'deleted', namespace, name, old_uid, old_version, old_labels, old_fields,
             null::text[], null::text[], old_created, old_cells, old_layout, old_body
        from todo where replaced
       union all
      select cursor, p_cluster, type_id, case when old_uid is null or replaced then 'added' else 'modified' end,
             namespace, name, u_uid[i], u_version[i], labels, fields,
             case when not replaced and old_labels <> labels then old_labels end,
             case when not replaced and old_fields <> fields then old_fields end,
             created, null, null, null
        from todo
    ), counted as (
      select type_id, count(*) as n, count(*) filter (where old_uid is null) as fresh,
             count(*) filter (where replaced) as replaced
        from todo group by type_id
    )
    select coalesce(sum(n), 0), added + coalesce(sum(fresh + replaced), 0), deleted + coalesce(sum(replaced), 0),
           modified + coalesce(sum(n - fresh - replaced), 0), v_types || array_agg(type_id), v_deltas || array_agg(fresh)
      into v_count, added, deleted, modified, v_types, v_deltas from counted;
    noops := noops + cardinality(u_type) - v_count;
  end if;

  -- Counters of the types that gained or lost rows.
  if cardinality(v_types) > 0 then
    update fleet.cluster_type t set objects = t.objects + d.n
      from (select type_id, sum(n) as n from unnest(v_types, v_deltas) as d(type_id, n) group by type_id) as d
     where t.cluster_id = p_cluster and t.type_id = d.type_id and d.n <> 0;
  end if;

  -- Marks stand in the transaction of the rows that they speak of: a resume point never runs ahead of them.
  if cardinality(m_type) > 0 then
    update fleet.cluster_type t
       set resource_version = m.version, current_at = now(),
           shape = case when m.listed then m.shape else t.shape end,
           state = case when m.listed then 'Synced' else t.state end,
           reason = case when m.listed then '' else t.reason end,
           listed_at = case when m.listed then now() else t.listed_at end
      from unnest(m_type, m_version, m_listed, m_shape) as m(type_id, version, listed, shape)
     where t.cluster_id = p_cluster and t.type_id = m.type_id and t.state not in ('Gone', 'Excluded');
    if true = any(m_listed) then
      perform pg_notify('fleet_catalog', '');
    end if;
  end if;

  if added + modified + deleted > 0 then
    perform pg_notify('fleet_change', '');
  end if;
end $$;

-- One step of clearing out a type that is gone or excluded: at most p_limit rows, each with its change. Returns how many
-- rows went; fewer than p_limit: done. It does nothing once the type is served again.
create function fleet.sweep_type(p_cluster integer, p_type integer, p_limit integer) returns integer
  language plpgsql volatile as $$
declare
  v_count integer;
begin
  perform from fleet.session s where s.cluster_id = p_cluster for update;
  perform from fleet.cluster_type t
   where t.cluster_id = p_cluster and t.type_id = p_type and t.state in ('Gone', 'Excluded');
  if not found then
    return 0;
  end if;
  perform fleet.begin_cursors();
  with step as (
    select namespace, name from fleet.object where cluster_id = p_cluster and type_id = p_type
     order by namespace, name limit p_limit
  ), gone as (
    delete from fleet.object o using step
     where o.cluster_id = p_cluster and o.type_id = p_type and o.namespace = step.namespace and o.name = step.name
    returning o.*
  ), logged as (
    insert into fleet.change (cursor, cluster_id, type_id, op, namespace, name, uid, resource_version, labels, fields,
                              created, cells, layout, body)
    select nextval('fleet.cursor'), cluster_id, type_id, 'deleted', namespace, name, uid, resource_version, labels,
           fields, created, cells, layout, body
      from gone
    returning 1
  )
  select count(*) into v_count from logged;
  update fleet.cluster_type set objects = objects - v_count
   where cluster_id = p_cluster and type_id = p_type and v_count > 0;
  if v_count < p_limit then
    delete from fleet.rejected where cluster_id = p_cluster and type_id = p_type;
    update fleet.cluster_type set objects = 0
     where cluster_id = p_cluster and type_id = p_type and state = 'Excluded' and objects <> 0;
    delete from fleet.cluster_type where cluster_id = p_cluster and type_id = p_type and state = 'Gone';
    perform pg_notify('fleet_catalog', '');
  end if;
  if v_count > 0 then
    perform pg_notify('fleet_change', '');
  end if;
  return v_count;
end $$;
