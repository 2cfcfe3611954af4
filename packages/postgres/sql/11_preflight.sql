-- What must be true before an agent may call. The adapter asks once, at its first call, and refuses to
-- work while there is an answer.

-- What stands against a login. One for statements is a member of statement roles, which it may become and
-- whose rights it does not have.
drop function if exists behalf.login_problems(name);
create or replace function behalf.login_problems(for_login name, for_kind text) returns table (problem text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select 'it has an attribute that passes by policies or grants: ' || concat_ws(', ',
    case when rolsuper then 'SUPERUSER' end, case when rolbypassrls then 'BYPASSRLS' end,
    case when rolcreaterole then 'CREATEROLE' end, case when rolcreatedb then 'CREATEDB' end,
    case when rolreplication then 'REPLICATION' end)
  from pg_roles where rolname = for_login
    and (rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication)
  union all
  select 'it inherits: alter role ' || quote_ident(for_login) || ' noinherit' from pg_roles where rolname = for_login and rolinherit
  union all
  select format('it is a member of %I: revoke %I from %I', g.rolname, g.rolname, r.rolname)
  from pg_auth_members m join pg_roles r on r.oid = m.member join pg_roles g on g.oid = m.roleid
  where r.rolname = for_login
    and not (for_kind = 'statement' and not m.admin_option
      and coalesce(to_jsonb(m) ->> 'inherit_option', 'false') = 'false'
      and exists (select from behalf.companion_roles c where c.role = g.rolname and c.mode = 'statement'))
  union all
  -- By way of a statement role.
  select format('it can become %I by way of its statement roles: revoke %I from them', g.role, g.role)
  from behalf.companion_roles c, behalf.reachable(c.role) g
  where for_kind = 'statement' and c.mode = 'statement' and pg_has_role(for_login, c.role, 'member')
  union all
  -- A thief of the password could have left them, and they outlive a new one.
  select format('it has a setting of its own, %s: alter role %I reset %s', split_part(setting, '=', 1), for_login, split_part(setting, '=', 1))
  from pg_db_role_setting s join pg_roles r on r.oid = s.setrole, unnest(s.setconfig) setting
  where r.rolname = for_login
    -- What can only make calls end sooner, or say less.
    and split_part(setting, '=', 1) not in ('log_parameter_max_length', 'log_parameter_max_length_on_error', 'temp_file_limit',
      'statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout',
      -- A superuser's, which no login may set for itself; what they keep is not what a call does.
      'log_error_verbosity', 'auto_explain.log_parameter_max_length', 'auto_explain.log_verbose', 'auto_explain.log_min_duration', 'pg_stat_statements.track')
  union all
  select 'it owns ' || pg_describe_object(d.classid, d.objid, 0)
  from pg_shdepend d join pg_roles r on r.oid = d.refobjid
  where d.refclassid = 'pg_authid'::regclass and d.deptype = 'o' and r.rolname = for_login
    -- 0: what belongs to the whole server, such as a database.
    and d.dbid in (0, (select oid from pg_database where datname = current_database()))
$$;

-- Every role that agents' texts or authors' statements run as, and what it is for.
create or replace function behalf.acting_roles() returns table (role name, mode text, remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select a.role, 'read', format('select behalf.add_agent_role(%L)', a.role) from behalf.agent_roles a
  union all
  select c.role, c.mode, format('select behalf.add_%s_role(%L, %L)', c.mode, c.agent, c.role) from behalf.companion_roles c
$$;

-- Whether every use of this relation by agents passes a guard: a restrictive policy, or one that generated
-- policies hold themselves. Known by dependency on behalf.allows(), because anybody can name a policy.
-- The command is r, a, w or d, as in pg_policy: read, create, update, delete.
drop function if exists behalf.guarded(oid);
create or replace function behalf.guarded(relation oid, command "char") returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  with applying as (
    select p.polpermissive, exists (
      select from pg_depend d
      where d.classid = 'pg_policy'::regclass and d.objid = p.oid
        and d.refclassid = 'pg_proc'::regclass and d.refobjid = 'behalf.allows(regclass, text, name)'::regprocedure
    ) as guards
    from pg_policy p
    where p.polrelid = relation and p.polcmd in (command, '*')
      and p.polroles && array[0::oid, (select r.oid from pg_roles r where r.rolname = 'behalf_agents')]
  )
  select coalesce(bool_or(guards and not polpermissive), false)
    or (coalesce(bool_and(guards) filter (where polpermissive), false)
      and not exists (
        -- A permissive policy for the agent role itself, or for another group of it, would open a way past them.
        select from pg_policy p
        where p.polrelid = relation and p.polcmd in (command, '*') and p.polpermissive
          and not p.polroles && array[0::oid, (select r.oid from pg_roles r where r.rolname = 'behalf_agents')]
          and exists (
            select from behalf.acting_roles() a join pg_roles r on r.rolname = a.role, unnest(p.polroles) as g (oid)
            where pg_has_role(r.oid, g.oid, 'usage'))))
  from applying
$$;

create or replace function behalf.reads_as_invoker(view oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_class c, pg_options_to_table(c.reloptions) o
    where c.oid = view and o.option_name = 'security_invoker' and o.option_value::boolean)
$$;

create or replace function behalf.version() returns integer
language sql immutable parallel safe
return 3;

create or replace function behalf.preflight(wanted_version integer) returns table (problem text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select format('the kit in the database has version %s, the adapter needs %s: install the kit that came with the adapter',
    behalf.version(), wanted_version)
  where behalf.version() <> wanted_version
  union all
  select format('login %I: %s', session_user, p.problem) from behalf.login_problems(session_user,
    (select g.kind from behalf.gateways g where g.login = session_user)) p
  union all
  select format('login %I was not made a gateway: select behalf.add_gateway(%L)', session_user, session_user)
  where not exists (select from behalf.gateways g where g.login = session_user)
  union all
  -- What another gateway's login made could be called by somebody else's agent.
  select format('login %I owns %s: give that to somebody else', g.login, pg_describe_object(d.classid, d.objid, 0))
  from behalf.gateways g join pg_roles r on r.rolname = g.login and r.rolname <> session_user
  join pg_shdepend d on d.refobjid = r.oid and d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'
    and d.dbid = (select oid from pg_database where datname = current_database())
  union all
  select format('%s may execute %s: revoke that', coalesce(quote_ident(r.rolname), 'everybody'), f.oid::regprocedure)
  from pg_proc f
  cross join aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) x
  left join pg_roles r on r.oid = x.grantee
  where f.pronamespace = 'behalf'::regnamespace
    and (x.grantee = 0
      or exists (select from behalf.gateways g where g.login = r.rolname)
        and f.proname not in ('exchange', 'start', 'read', 'open', 'fetch', 'write', 'settle', 'statement', 'preflight'))
  union all
  -- Functions and tables that a human's statement finds by its search_path must be the application's own.
  select format('%s may create in schema %I, where agents'' statements look for names: revoke create on schema %I from %s',
    case x.grantee when 0 then 'everybody' else quote_ident(r.rolname) end, n.nspname, n.nspname,
    case x.grantee when 0 then 'public' else quote_ident(r.rolname) end)
  from pg_namespace n
  cross join aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) x
  left join pg_roles r on r.oid = x.grantee
  where x.privilege_type = 'CREATE' and n.nspname !~ '^pg_'
    and exists (select from behalf.agent_roles a, unnest(string_to_array(a.search_path, ',')) part where trim(part) = n.nspname)
    and (x.grantee = 0
      or exists (select from behalf.gateways g join pg_roles l on l.rolname = g.login where pg_has_role(l.oid, r.oid, 'member'))
      or exists (select from behalf.acting_roles() a join pg_roles l on l.rolname = a.role where pg_has_role(l.oid, r.oid, 'member')))
  union all
  -- A policy must not mean what the search_path of the text that reads makes of it.
  select distinct format('policy %I on %s calls %s, which finds names by the search_path of who reads: alter function %s set search_path = ...',
    p.polname, p.polrelid::regclass, f.oid::regprocedure, f.oid::regprocedure)
  from pg_policy p
  join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.oid and d.refclassid = 'pg_proc'::regclass
  join pg_proc f on f.oid = d.refobjid
  join pg_language l on l.oid = f.prolang and l.lanname not in ('c', 'internal')
  where f.pronamespace not in ('pg_catalog'::regnamespace, 'behalf'::regnamespace)
    and f.prosqlbody is null
    and not exists (select from unnest(f.proconfig) c where c like 'search_path=%')
    -- Only where agents read.
    and exists (
      select from behalf.acting_roles() a join pg_roles r on r.rolname = a.role, unnest(p.polroles) g (oid)
      where g.oid = 0 or pg_has_role(r.oid, g.oid, 'usage'))
    and exists (
      select from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
      where has_any_column_privilege(r.oid, p.polrelid, 'select, insert, update') or has_table_privilege(r.oid, p.polrelid, 'delete'))
  union all
  select p.problem from behalf.forgeable() p
  union all
  select format('agent role %I is a member of the gateway''s login %I: revoke %I from %I', r.rolname, g.login, g.login, r.rolname)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  join behalf.gateways g on exists (select from pg_roles l where l.rolname = g.login and pg_has_role(r.oid, l.oid, 'member'))
  union all
  select format('role %I is a member of behalf_owner and can be anybody: revoke behalf_owner from %I', r.rolname, r.rolname)
  from pg_auth_members m join pg_roles r on r.oid = m.member join pg_roles g on g.oid = m.roleid
  where g.rolname = 'behalf_owner'
    -- From 16 on, who made a role without being a superuser keeps a membership that neither inherits nor sets.
    and (coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, true) or coalesce((to_jsonb(m) ->> 'set_option')::boolean, true))
  union all
  select format('login %I may write to %s: revoke that from it, or from public where public has it', session_user, c.oid::regclass)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and has_schema_privilege(session_user, n.oid, 'usage')
    and (has_any_column_privilege(session_user, c.oid, 'insert, update')
      or has_table_privilege(session_user, c.oid, 'delete, truncate'))
  union all
  select format('login %I may read %s: revoke that from it, or from public where public has it', session_user, c.oid::regclass)
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where not exists (select from behalf.exposed e where e.relation = c.oid)
    and c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and has_schema_privilege(session_user, n.oid, 'usage')
    and has_any_column_privilege(session_user, c.oid, 'select')
  union all
  select format('publication %I sends the kit''s keys, and whoever reads its stream can be anybody: publish your schemas instead (for tables in schema), '
    'or, where its readers may have them, set behalf.all_tables_publication = ''known'' and install the kit again', p.pubname)
  from pg_publication p, behalf.settings s
  where not s.publishes_keys
    and (p.puballtables
      or exists (select from pg_publication_rel r where r.prpubid = p.oid and r.prrelid = 'behalf.secrets'::regclass)
      or exists (select from pg_publication_namespace n where n.pnpubid = p.oid and n.pnnspid = 'behalf'::regnamespace))
  union all
  select 'this database has no audience: select behalf.set_audience(...)'
  from behalf.settings s where s.audience is null
  union all
  select 'no issuer has a key: see behalf.put_keys()'
  where not exists (select from behalf.issuer_keys)
  union all
  select 'no human can get a role: see behalf.map_role()'
  where not exists (select from behalf.role_map)
  union all
  -- A role that could do more than its grants.
  select format('agent role %I is missing: %s', a.role, a.remedy)
  from behalf.acting_roles() a where not exists (select from pg_roles r where r.rolname = a.role)
  union all
  select format('agent role %I has an attribute that no agent may have: '
    'alter role %I nologin nosuperuser nobypassrls nocreaterole nocreatedb noreplication', r.rolname, r.rolname)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  where r.rolcanlogin or r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolcreatedb or r.rolreplication
  union all
  select format('agent role %I does not inherit behalf_agents, so the guards do not apply to it: %s', r.rolname, a.remedy)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  where not pg_has_role(r.oid, 'behalf_agents', 'usage')
  union all
  select format('agent role %I is a member of %I, which reaches past policies: revoke %I from %I', r.rolname, g.rolname, g.rolname, r.rolname)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  join pg_roles g on g.oid <> r.oid and pg_has_role(r.oid, g.oid, 'usage')
  where g.rolname ~ '^pg_' or g.rolname in ('behalf_owner', 'behalf_keysync')
  union all
  -- Who is a member of the owner of a sandbox could call it, or alter it.
  select format('agent role %I is a member of agent role %I: revoke %I from %I', r.rolname, g.rolname, g.rolname, r.rolname)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  join behalf.acting_roles() o on o.role <> a.role and o.mode <> 'statement'
  join pg_roles g on g.rolname = o.role and pg_has_role(r.oid, g.oid, 'member')
  where a.mode <> 'read' or o.mode = 'write'
  union all
  select format('agent role %I, which a login may become, owns %s: give that to somebody else', r.rolname, pg_describe_object(d.classid, d.objid, 0))
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  join pg_shdepend d on d.refobjid = r.oid and d.refclassid = 'pg_authid'::regclass and d.deptype = 'o'
    and d.dbid in (0, (select oid from pg_database where datname = current_database()))
  where a.mode = 'statement'
  union all
  select format('the sandbox of agent role %I is missing or was altered: %s', r.rolname, a.remedy)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  where a.mode <> 'statement' and (case a.mode when 'read' then 3 else 2 end) <> (
    select count(*)
    from pg_proc f
    where f.pronamespace = 'behalf_sandbox'::regnamespace
      and case a.mode
        when 'read' then f.provolatile = 's'
          and (f.proname, f.proargtypes) in ((a.role || '_read', '25 23 20'), (a.role || '_open', '25'), (a.role || '_fetch', '23 20 20'))
        else f.provolatile = 'v'
          and (f.proname, f.proargtypes) in ((a.role || '_write', '25 23 20'), (a.role || '_settle', ''))
      end
      and f.proowner = r.oid and f.prosecdef and f.proconfig @> array['TimeZone=UTC']
      and not exists (
        select from aclexplode(coalesce(f.proacl, acldefault('f', f.proowner))) g
        where g.grantee not in (r.oid, (select o.oid from pg_roles o where o.rolname = 'behalf_owner'))))
  union all
  -- Owners pass by row level security unless it is forced.
  select format('agent role %I has the rights of the owner of %s, whom its policies do not bind: '
    'revoke %I from %I, or alter table %s force row level security',
    r.rolname, c.oid::regclass, pg_get_userbyid(c.relowner), r.rolname, c.oid::regclass)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  join pg_class c on c.relkind in ('r', 'p') and c.relrowsecurity and not c.relforcerowsecurity
    and pg_has_role(r.oid, c.relowner, 'usage')
  union all
  -- What an agent role may read without a guard.
  select format('agent role %I may read %s, %s', r.rolname, c.oid::regclass,
    case
      when c.relkind = 'm' then 'a materialized view, whose rows were chosen for its owner and not for the human: revoke it'
      when c.relkind = 'f' then 'a foreign table, which row level security does not reach: revoke it'
      when c.relkind = 'v' then format('a view that reads as its owner and not as the human: alter view %s set (security_invoker = true)', c.oid::regclass)
      when not c.relrowsecurity then format('which has row level security off: alter table %s enable row level security, or behalf.expose(%L, ''why'')', c.oid::regclass, c.oid::regclass)
      else format('which has no guard: select behalf.guard(%L), or behalf.expose(%L, ''why'')', c.oid::regclass, c.oid::regclass)
    end)
  from behalf.acting_roles() a
  join pg_roles r on r.rolname = a.role
  cross join pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and not exists (select from behalf.exposed e where e.relation = c.oid)
    and has_schema_privilege(r.oid, n.oid, 'usage')
    and has_any_column_privilege(r.oid, c.oid, 'select')
    and case c.relkind
      when 'v' then not behalf.reads_as_invoker(c.oid)
      when 'm' then true
      when 'f' then true
      else not c.relrowsecurity or not behalf.guarded(c.oid, 'r')
    end
  union all
  -- What it may write without a guard. Of the read sandbox nothing: its transaction is READ ONLY.
  select format('agent role %I may %s %s, %s', r.rolname, v.verb, c.oid::regclass,
    case
      when c.relkind = 'f' then 'a foreign table, which row level security does not reach: revoke it'
      when c.relkind = 'v' then format('a view that writes as its owner and not as the human: alter view %s set (security_invoker = true)', c.oid::regclass)
      when v.verb = 'truncate' then 'which no policy binds: revoke it'
      when not c.relrowsecurity then format('which has row level security off: alter table %s enable row level security', c.oid::regclass)
      else format('which has no guard: select behalf.guard(%L)', c.oid::regclass)
    end)
  from behalf.acting_roles() a
  join pg_roles r on r.rolname = a.role
  cross join (values ('insert', 'a'::"char"), ('update', 'w'), ('delete', 'd'), ('truncate', null)) as v (verb, command)
  cross join pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  where a.mode <> 'read'
    and c.relkind in ('r', 'p', 'v', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
    and has_schema_privilege(r.oid, n.oid, 'usage')
    and case when v.verb in ('insert', 'update') then has_any_column_privilege(r.oid, c.oid, v.verb)
      else has_table_privilege(r.oid, c.oid, v.verb) end
    and case
      when c.relkind = 'f' or v.verb = 'truncate' then true
      when c.relkind = 'v' then not behalf.reads_as_invoker(c.oid)
      else not c.relrowsecurity or not behalf.guarded(c.oid, v.command)
    end
$$;
