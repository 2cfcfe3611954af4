-- Takes from everybody what no agent's text needs and what reaches past its own statement, in this database,
-- and gives it to every role that is here already and is no agent's: what runs today goes on. Run it as a
-- superuser, with any client; it is one statement and may be run again at any time:
--   psql -v ON_ERROR_STOP=1 -f harden.sql
-- Run it again whenever a role was created or made an agent's: a role that comes later has none of these
-- functions until then. pg_dump, for one, calls set_config. unharden.sql takes all of it back.
--
-- `set behalf.temp_file_limit = '4GB'` before it changes how much one session of a gateway's login may put
-- into temporary files; a login that has a limit keeps it.
do $$
declare
  item record;
  holder record;
  most text := coalesce(nullif(current_setting('behalf.temp_file_limit', true), ''), '1GB');
begin
  if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user) then
    raise exception 'behalf: hardening needs a superuser, whom the functions of PostgreSQL belong to'
      using hint = 'Without one, see docs/threat-model.md for what stays open.';
  end if;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if to_regclass('behalf.hardening') is null then
    raise exception 'behalf: the kit is not installed, or is older than this file'
      using hint = 'Run install.sql first.';
  end if;

  for item in
    select f.oid, f.oid::regprocedure::text as name, f.proowner,
      coalesce(f.proacl, acldefault('f', f.proowner)) as acl
    from pg_proc f
    where f.pronamespace = 'pg_catalog'::regnamespace
      and (
        -- Changes settings while a statement runs, and leaves names of settings on the connection.
        f.proname = 'set_config'
        -- Run a text that is made at run time, where no reader and no log finds what it calls.
        or f.proname ~ '^(query|cursor)_to_xml' or f.proname in ('ts_stat', 'ts_rewrite') and 'text'::regtype = any (f.proargtypes)
        -- Chooses what random() says.
        or f.proname = 'setseed'
        -- Reach other sessions, or last longer than the statement.
        or f.proname in ('pg_notify', 'pg_logical_emit_message', 'pg_export_snapshot')
        or f.proname ~ '^pg_(try_)?advisory_(xact_)?(un)?lock'
        -- Kept outside of tables, where no policy reaches.
        or f.proname ~ '^lo_' or f.proname in ('loread', 'lowrite')
        -- Use up transaction ids.
        or f.proname in ('pg_current_xact_id', 'txid_current')
        -- Show what other sessions do, what they wait for and how much there is of everything.
        or f.proname ~ '^pg_stat_get_'
        or f.proname in ('pg_lock_status', 'pg_prepared_xact', 'pg_blocking_pids', 'pg_safe_snapshot_blocking_pids',
          'pg_show_all_settings', 'pg_relation_size', 'pg_table_size', 'pg_indexes_size', 'pg_total_relation_size',
          'pg_database_size', 'pg_tablespace_size', 'pg_current_wal_lsn', 'pg_current_wal_insert_lsn',
          'pg_current_wal_flush_lsn', 'pg_notification_queue_usage', 'pg_get_replication_slots')
      )
      -- What somebody took from everybody before is none of this file's business.
      and (exists (select from behalf.hardening h where h.kind = 'function' and h.object = f.oid::regprocedure::text)
        or exists (select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) a where a.grantee = 0))
  loop
    if not exists (select from behalf.hardening h where h.kind = 'function' and h.object = item.name) then
      insert into behalf.hardening (kind, object, grantee, grantable)
      select 'function', item.name, coalesce(r.rolname, 'public'), bool_or(a.is_grantable)
      from aclexplode(item.acl) a left join pg_roles r on r.oid = a.grantee
      where a.grantee <> item.proowner
      group by coalesce(r.rolname, 'public');
    end if;
    execute format('revoke execute on function %s from public', item.name);
    for holder in
      select r.rolname, not exists (
          -- Neither an agent's role, nor one whose rights it has.
          select from behalf.acting_roles() a join pg_roles acting on acting.rolname = a.role
          where a.mode <> 'statement' and pg_has_role(acting.oid, r.oid, 'member')
        ) and r.rolname <> 'behalf_agents' as may,
        exists (select from aclexplode(item.acl) a where a.grantee = r.oid) as has
      from pg_roles r
      where not r.rolsuper and r.rolname !~ '^pg_'
    loop
      if holder.may and not holder.has then
        execute format('grant execute on function %s to %I', item.name, holder.rolname);
      elsif holder.has and not holder.may then
        execute format('revoke execute on function %s from %I', item.name, holder.rolname);
      end if;
    end loop;
  end loop;

  for item in
    select g.login from behalf.gateways g join pg_roles r on r.rolname = g.login
    where not exists (
      select from pg_db_role_setting s, unnest(s.setconfig) setting
      where s.setrole = r.oid and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and setting like 'temp\_file\_limit=%')
  loop
    execute format('alter role %I in database %I set temp_file_limit = %L', item.login, current_database(), most);
    insert into behalf.hardening (kind, object, grantee, grantable) values ('login', item.login, '', false)
    on conflict do nothing;
  end loop;
end
$$;
