-- Partitions of the change log, made ahead and dropped whole. Their names say their bounds (change_FROM_TO, Unix
-- seconds), so that a changed width goes on where the last one ends. Two aggregators take turns by the advisory lock.

-- Make partitions of p_seconds until p_ahead of them lie ahead. Returns how many were made.
create function fleet.make_change_partitions(p_seconds integer, p_ahead integer) returns integer
  language plpgsql volatile set lock_timeout = '2s' as $$
declare
  v_now bigint := extract(epoch from now());
  v_from bigint;
  v_made integer := 0;
begin
  if not pg_try_advisory_xact_lock(465, 1) then
    return 0;
  end if;
  select coalesce(max(split_part(c.relname, '_', 3)::bigint), 0) into v_from
    from pg_inherits i join pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'fleet.change'::regclass and c.relname ~ '^change_[0-9]+_[0-9]+$';
  -- Rows of the present moment may be on their way into the default partition, and no partition may begin before them.
  if v_from <= v_now then
    v_from := v_now + 10;
  end if;
  while v_from < v_now + p_ahead * p_seconds loop
    execute format('create table fleet.%I partition of fleet.change for values from (%L) to (%L)',
                   'change_' || v_from || '_' || v_from + p_seconds, to_timestamp(v_from), to_timestamp(v_from + p_seconds));
    v_from := v_from + p_seconds;
    v_made := v_made + 1;
  end loop;
  return v_made;
end $$;

-- Raise the floor above changes older than p_retention seconds. Watchers see it before the rows go. Returns the new floor.
create function fleet.raise_floor(p_retention integer) returns bigint language plpgsql volatile as $$
declare
  v_floor bigint;
  v_top bigint;
  v_before bigint := extract(epoch from now()) - p_retention;
  v_name text;
begin
  select s.floor into v_floor from fleet.store s;
  for v_name in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'fleet.change'::regclass and c.relname ~ '^change_[0-9]+_[0-9]+$'
       and split_part(c.relname, '_', 3)::bigint <= v_before
  loop
    execute format('select max(cursor) from fleet.%I', v_name) into v_top;
    v_floor := greatest(v_floor, v_top);
  end loop;
  select max(cursor) into v_top from fleet.change_default where at < to_timestamp(v_before);
  v_floor := greatest(v_floor, v_top);
  update fleet.store s set floor = v_floor where s.floor < v_floor;
  return v_floor;
end $$;

-- Drop what lies wholly below the floor and before the retention; the default partition is cleared at most p_limit rows a
-- time. Call raise_floor in a transaction before. Returns how many partitions and rows went.
create function fleet.drop_changes(p_retention integer, p_limit integer) returns integer
  language plpgsql volatile set lock_timeout = '2s' as $$
declare
  v_before bigint := extract(epoch from now()) - p_retention;
  v_floor bigint;
  v_top bigint;
  v_name text;
  v_gone integer := 0;
  v_count integer;
begin
  if not pg_try_advisory_xact_lock(465, 1) then
    return 0;
  end if;
  select s.floor into v_floor from fleet.store s;
  for v_name in
    select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
     where i.inhparent = 'fleet.change'::regclass and c.relname ~ '^change_[0-9]+_[0-9]+$'
       and split_part(c.relname, '_', 3)::bigint <= v_before
     order by c.relname limit 10
  loop
    execute format('select max(cursor) from fleet.%I', v_name) into v_top;
    if coalesce(v_top, 0) <= v_floor then
      execute format('drop table fleet.%I', v_name);
      v_gone := v_gone + 1;
    end if;
  end loop;
  delete from fleet.change_default d using (
    select tableoid, ctid from fleet.change_default
     where at < to_timestamp(v_before) and cursor <= v_floor limit p_limit
  ) as old where d.ctid = old.ctid and d.tableoid = old.tableoid;
  get diagnostics v_count = row_count;
  return v_gone + v_count;
end $$;
