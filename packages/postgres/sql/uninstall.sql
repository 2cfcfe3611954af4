-- Removes the kit without a trace: guards, schemas, roles. Run it as a superuser, in one transaction
-- (psql -1 -v ON_ERROR_STOP=1 -f uninstall.sql). It refuses, and changes nothing, while a policy, view
-- or function of yours still uses the kit, because dropping a policy of yours could show rows to somebody.
-- Agent roles and gateway logins stay: they may own or hold things that are yours.
do $$
declare
  item record;
  users text;
  guards oid[];
  guarded text;
  given text := pg_catalog.current_setting('lock_timeout');
  -- As behalf.lock_tables() does it, which an older kit does not have: nothing waits in front of the application.
  wait_ms integer := least(2000, (
    select pg_catalog.min(case s.name when 'lock_timeout' then s.setting::integer else s.setting::integer / 2 end)
    from pg_catalog.pg_settings s where s.name in ('lock_timeout', 'deadlock_timeout')));
  started timestamptz := pg_catalog.clock_timestamp();
  tried timestamptz;
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if to_regnamespace('behalf') is null then
    raise notice 'behalf: the kit is not installed';
    return;
  end if;
  -- An older kit has no such table.
  if to_regclass('behalf.hardening') is not null and exists (select from behalf.hardening) then
    raise exception 'behalf: this database is hardened'
      using hint = 'Run unharden.sql first, which gives back what harden.sql took; nothing was removed.';
  end if;
  if to_regprocedure('behalf.release_auth()') is not null then
    perform behalf.release_auth();
  end if;

  guards := array(
    select p.oid from pg_catalog.pg_policy p
    where p.polname in ('behalf_guard_read', 'behalf_guard_create', 'behalf_guard_update', 'behalf_guard_delete'));

  select pg_catalog.string_agg(distinct pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), ', ')
  into users
  from pg_catalog.pg_depend d
  where d.deptype = 'n'
    and not (d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass and d.objid = any (guards))
    and (d.refclassid, d.refobjid) in (
      select 'pg_catalog.pg_proc'::pg_catalog.regclass, f.oid from pg_catalog.pg_proc f
      where f.pronamespace in (to_regnamespace('behalf'), to_regnamespace('behalf_sandbox'), to_regnamespace('behalf_auth'))
      union all
      select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid from pg_catalog.pg_class c
      where c.relnamespace = to_regnamespace('behalf')
      union all
      select 'pg_catalog.pg_type'::pg_catalog.regclass, t.oid from pg_catalog.pg_type t
      where t.typnamespace = to_regnamespace('behalf'))
    -- What lies in the kit's own schemas goes with them.
    and not exists (
      select from pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
      where i.schema in ('behalf', 'behalf_sandbox', 'behalf_auth') or i.identity like 'behalf.%' or i.identity like '% on behalf.%');
  if users is not null then
    raise exception 'behalf: still in use: %', users
      using hint = 'Drop or change these first; nothing was removed.';
  end if;

  -- The server does not know what a function calls whose body is text. Policies may rest on it all the same.
  select string_agg(f.oid::regprocedure::text, ', ') into users
  from pg_catalog.pg_proc f
  where f.pronamespace::regnamespace::text not in ('behalf', 'behalf_sandbox', 'behalf_auth')
    and f.prosrc ~* '\m(behalf"?\s*\.\s*"?(claim|claims|allows|whoami)\M|behalf_auth"?\s*\.)';
  if users is not null then
    raise exception 'behalf: still called by: %', users
      using hint = 'Drop or change these functions first; nothing was removed.';
  end if;

  select string_agg(pg_describe_object(o.classid, o.objid, 0), ', ') into users
  from (
    -- What somebody keeps in the kit's schemas.
    select 'pg_class'::regclass as classid, c.oid as objid from pg_class c
    where c.relnamespace = to_regnamespace('behalf') and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S') and c.relowner <> 'behalf_owner'::regrole
      or c.relnamespace in (to_regnamespace('behalf_sandbox'), to_regnamespace('behalf_auth'))
    union all
    select 'pg_proc'::regclass, f.oid from pg_proc f
    where f.pronamespace in (to_regnamespace('behalf'), to_regnamespace('behalf_auth')) and f.proowner <> 'behalf_owner'::regrole
      or f.pronamespace = to_regnamespace('behalf_sandbox')
        and not exists (select from behalf.agent_roles a where f.proname in (a.role || '_read', a.role || '_open', a.role || '_fetch'))
        and not exists (select from behalf.companion_roles c where f.proname in (c.role || '_write', c.role || '_settle'))
    union all
    -- What the kit's roles own elsewhere: `drop owned` below would take it along.
    select d.classid, d.objid from pg_shdepend d
    where d.deptype = 'o' and d.refclassid = 'pg_authid'::regclass
      and d.refobjid in ('behalf_owner'::regrole, 'behalf_agents'::regrole, 'behalf_keysync'::regrole)
      and d.dbid in (0, (select oid from pg_database where datname = current_database()))
      and not exists (
        select from pg_identify_object(d.classid, d.objid, 0) i
        where i.schema in ('behalf', 'behalf_sandbox', 'behalf_auth')
          or i.type = 'schema' and i.name in ('behalf', 'behalf_sandbox', 'behalf_auth')
          or i.type = 'default acl')
  ) o;
  if users is not null then
    raise exception 'behalf: not of the kit, but in its schemas or owned by its roles: %', users
      using hint = 'Move these elsewhere or give them another owner first; nothing was removed.';
  end if;

  select pg_catalog.string_agg(pg_catalog.format('policy %I on %s', p.polname, p.polrelid::regclass), ', ')
  into users
  from pg_catalog.pg_policy p
  where (select oid from pg_catalog.pg_roles where rolname = 'behalf_agents') = any (p.polroles)
    and p.oid <> all (guards);
  if users is not null then
    raise exception 'behalf: still written for behalf_agents: %', users
      using hint = 'Drop or change these policies first; nothing was removed.';
  end if;

  -- Without the guards, whoever became a statement role would see what its policies to everybody show.
  for item in
    select c.role, m.rolname as login
    from behalf.companion_roles c join pg_catalog.pg_roles r on r.rolname = c.role
    join pg_catalog.pg_auth_members a on a.roleid = r.oid join pg_catalog.pg_roles m on m.oid = a.member
    where c.mode = 'statement' and exists (select from behalf.gateways g where g.login = m.rolname)
  loop
    execute pg_catalog.format('revoke %I from %I', item.role, item.login);
  end loop;

  -- All guarded tables at once or none, and last: from here to the COMMIT nobody else can use them. The whole
  -- script took 32 ms with 100 of them.
  loop
    tried := clock_timestamp();
    begin
      for guarded in select distinct p.polrelid::regclass::text from pg_policy p where p.oid = any (guards) order by 1 loop
        if wait_ms > 0 then
          perform set_config('lock_timeout',
            greatest(wait_ms - floor(1000 * extract(epoch from clock_timestamp() - tried)), 1)::text, true);
        end if;
        execute format('lock table only %s in access exclusive mode%s', guarded, case wait_ms when 0 then ' nowait' else '' end);
      end loop;
      perform set_config('lock_timeout', given, true);
      exit;
    exception when lock_not_available then
      null;
    end;
    if clock_timestamp() > started + interval '30 s' then
      raise exception using errcode = 'lock_not_available',
        message = format('behalf: %s was in use whenever it was asked for', guarded),
        hint = 'Try again when that has ended: see pg_locks and pg_stat_activity. Where it is never free for a moment, set lock_timeout = ''100ms'' first: '
          'each try then waits so long, and the application behind it. Nothing was removed.';
    end if;
    perform pg_sleep(0.05);
  end loop;
  for item in select p.polname, p.polrelid::regclass as relation from pg_policy p where p.oid = any (guards) loop
    execute format('drop policy %I on %s', item.polname, item.relation);
  end loop;

  -- Fifty notices of what goes with them would hide the one that counts.
  perform pg_catalog.set_config('client_min_messages', 'warning', true);
  drop schema behalf_sandbox cascade;
  drop schema if exists behalf_auth cascade;
  drop schema behalf cascade;
  perform pg_catalog.set_config('client_min_messages', 'notice', true);
  -- Grants to the kit's roles on objects of yours.
  drop owned by behalf_agents, behalf_keysync, behalf_owner;

  -- Roles belong to the whole server: while another of its databases has the kit, they stay.
  if exists (
    select from pg_catalog.pg_shdepend d
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      and d.refobjid in (select oid from pg_catalog.pg_roles
        where rolname in ('behalf_agents', 'behalf_keysync', 'behalf_owner'))
  ) then
    raise notice 'behalf: the roles behalf_owner, behalf_agents and behalf_keysync stay, because another database uses them';
  else
    drop role behalf_agents, behalf_keysync, behalf_owner;
  end if;
end
$$;
