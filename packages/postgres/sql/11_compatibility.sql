-- For databases whose policies are written in the style of Supabase or PostgREST: auth.uid(), auth.jwt(),
-- current_setting('request.jwt.claims', true). An agent's text can set such a setting. What stands here
-- gives agents the sealed claims instead, and everybody else what was there before.

-- Functions of these that this database adopted, with their text as it was.
create table if not exists behalf.adopted (
  name name primary key check (name in ('uid', 'jwt', 'role', 'email')),
  schema name not null,
  -- NULL where the function stays as it is and policies call the one of behalf_auth.
  definition text
);

-- Whether this role got a right to the kit by a grant that means it.
create or replace function behalf_auth.is_granted(role name) returns boolean
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from pg_proc f join pg_namespace n on n.oid = f.pronamespace
    where n.nspname = 'behalf' and f.proname in ('exchange', 'claim') and has_function_privilege(role, f.oid, 'execute'));
end
$$;

-- Whether a call for a human runs here: whether the session is a gateway's, or the role one of agents. Asking
-- current_user alone would not do: inside a SECURITY DEFINER function of the application that is its owner, while
-- only a superuser's login can change session_user.
-- Gateways' logins and agents, and nobody of the application's, have a right to the schema `behalf`; the server
-- knows that by number, so a login that was renamed is still one. Superusers have the rights of every role, and
-- of behalf_owner, too: they are no agents. Members of pg_read_all_data and pg_write_all_data have a right to
-- every schema, but none to its functions.
-- PostgreSQL puts this into the statement that calls it: 1.5 us where auth.uid() takes 1.0. It is text where it
-- names `behalf`, so that PostgreSQL can take nothing of the application's away with that schema.
create or replace function behalf_auth.for_agent() returns boolean
language sql stable parallel safe
return pg_catalog.has_schema_privilege(session_user, 'behalf', 'usage') and not pg_catalog.pg_has_role(session_user, 'behalf_owner', 'usage')
    and (not pg_catalog.pg_has_role(session_user, 'pg_read_all_data', 'usage') and not pg_catalog.pg_has_role(session_user, 'pg_write_all_data', 'usage')
      or behalf_auth.is_granted(session_user))
  or pg_catalog.has_schema_privilege(current_user, 'behalf', 'usage') and not pg_catalog.pg_has_role(current_user, 'behalf_owner', 'usage')
    and (not pg_catalog.pg_has_role(current_user, 'pg_read_all_data', 'usage') and not pg_catalog.pg_has_role(current_user, 'pg_write_all_data', 'usage')
      or behalf_auth.is_granted(current_user));

-- The human's claims, or NULL without a seal. It has its owner's rights, because a function of the application
-- that has the rights of its own owner reads them too.
create or replace function behalf_auth.claims() returns jsonb
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return behalf.claims();
end
$$;

-- What PostgREST would have put into this setting for the human. What it does not set for agents, such as
-- request.headers or a setting of the application's own, is NULL.
create or replace function behalf_auth.request_setting(name text) returns text
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
begin
  return case
    when lower(name) in ('request.jwt.claims', 'request.jwt.claim') then behalf_auth.claims()::text
    when lower(name) like 'request.jwt.claim.%' then behalf_auth.claims() ->> substr(name, 19)
    when strpos(name, '.') = 0 then current_setting(name, true)
  end;
end
$$;

-- Stands in policies and functions in the place of the server's own function of this name.
create or replace function behalf_auth.current_setting(name text, missing_ok boolean default false) returns text
language sql stable parallel restricted
return case when behalf_auth.for_agent() then behalf_auth.request_setting(name)
  else pg_catalog.current_setting(name, missing_ok) end;

grant execute on function behalf_auth.is_granted(name), behalf_auth.for_agent(), behalf_auth.claims(),
  behalf_auth.request_setting(text), behalf_auth.current_setting(text, boolean)
  to public;

-- Known by dependency, because a migration of the application can replace a function that was adopted.
create or replace function behalf.dispatches(function oid) returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from pg_depend d
    where d.classid = 'pg_proc'::regclass and d.objid = function
      and d.refclassid = 'pg_proc'::regclass and d.refobjid = 'behalf_auth.claims()'::regprocedure)
$$;

-- Lets uid(), jwt(), role() and email() of this schema, those that there are, answer agents from the sealed
-- claims, and everybody else with the function that was there, under another name, with the caller's rights.
-- Owner, rights and object stay. Run it as who owns these functions and may be behalf_owner; it may be run again.
-- Returns the functions that policies can rest on now.
create or replace function behalf.adopt_auth(
  auth_schema name default 'auth',
  -- The claim that holds the application's own id of the human.
  subject_claim text default 'sub',
  -- What role() says for a human whose token has no claim `role`.
  default_role text default null,
  -- Whether to replace the functions. Otherwise behalf_auth.uid() and so on are made, for policies to call:
  -- see behalf.rewrite_policies().
  in_place boolean default true
) returns setof regprocedure
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
  head text;
  definition text;
  sealed text;
  otherwise text;
  target text;
  stranger text;
begin
  select coalesce(quote_ident(r.rolname), 'public') into stranger
  from pg_namespace n cross join aclexplode(n.nspacl) x left join pg_roles r on r.oid = x.grantee
  where n.nspname = 'behalf' and x.privilege_type = 'USAGE' and r.rolname is distinct from 'behalf_owner'
    and r.rolname is distinct from 'behalf_agents' and r.rolname is distinct from 'behalf_keysync'
    and not exists (select from behalf.gateways g where g.login = r.rolname)
  limit 1;
  if stranger is not null then
    perform behalf.refuse('ZB007', 'adopt', format('%s has a right to the schema behalf, and would count as an agent', stranger),
      format('revoke usage on schema behalf from %s', stranger));
  end if;
  for item in
    select f.oid, f.proname as name, format_type(f.prorettype, null) as type, f.prosecdef, f.proretset, f.provolatile,
      f.procost, case f.proparallel when 's' then 'safe' when 'r' then 'restricted' else 'unsafe' end as parallel
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace
    where n.nspname = auth_schema and f.proname in ('uid', 'jwt', 'role', 'email') and f.pronargs = 0 and f.prokind = 'f'
    order by f.proname
  loop
    if item.prosecdef or item.proretset or item.provolatile = 'i' then
      perform behalf.refuse('ZB007', 'adopt', format('%s is SECURITY DEFINER, IMMUTABLE or returns a set', item.oid::regprocedure),
        'Make it a plain STABLE function first.');
    end if;
    if exists (select from behalf.adopted a where a.name = item.name and (a.schema <> auth_schema or (a.definition is not null) <> in_place)) then
      perform behalf.refuse('ZB007', 'adopt', format('a function %I() was adopted in another way', item.name), 'Run behalf.release_auth() first.');
    end if;
    sealed := case item.name
      when 'uid' then format('(behalf_auth.claims() operator(pg_catalog.->>) %L)', subject_claim)
      when 'email' then '(behalf_auth.claims() operator(pg_catalog.->>) ''email'')'
      when 'jwt' then 'behalf_auth.claims()'
      -- NULL without claims.
      else format('((%L::jsonb operator(pg_catalog.||) behalf_auth.claims()) operator(pg_catalog.->>) ''role'')',
        case when default_role is null then '{}' else jsonb_build_object('role', default_role) end)
    end;
    if not in_place then
      target := format('behalf_auth.%I()', item.name);
      otherwise := format('%I.%I()', auth_schema, item.name);
      insert into behalf.adopted (name, schema) values (item.name, auth_schema) on conflict do nothing;
    else
      target := format('%I.%I()', auth_schema, item.name);
      otherwise := format('behalf_auth.%I()', 'original_' || item.name);
      if not behalf.dispatches(item.oid) then
        definition := pg_get_functiondef(item.oid);
        head := format('CREATE OR REPLACE FUNCTION %I.%I', auth_schema, item.name);
        if left(definition, length(head)) <> head then
          perform behalf.refuse('ZB007', 'adopt', format('the text of %s is in no known form', target), 'Report it.');
        end if;
        execute format('drop function if exists %s', otherwise);
        execute format('create function behalf_auth.%I', 'original_' || item.name) || substr(definition, length(head) + 1);
        execute format('alter function %s owner to behalf_owner', otherwise);
        execute format('grant execute on function %s to public', otherwise);
        insert into behalf.adopted (name, schema, definition) values (item.name, auth_schema, definition)
        on conflict on constraint adopted_pkey do update set definition = excluded.definition;
      end if;
    end if;
    -- RETURN and no text: PostgreSQL puts it into the statement that calls it, as it did with the original, and
    -- what it means does not depend on a search_path.
    execute format('create or replace function %s returns %s language sql %s parallel %s cost %s '
      'return case when behalf_auth.for_agent() then %s::%s else %s end',
      target, item.type, case item.provolatile when 's' then 'stable' else 'volatile' end, item.parallel, item.procost,
      sealed, item.type, otherwise);
    if not in_place then
      execute format('alter function %s owner to behalf_owner', target);
      execute format('grant execute on function %s to public', target);
    end if;
    return next target::regprocedure;
  end loop;
  if not found then
    perform behalf.refuse('ZB007', 'adopt', format('there is no uid(), jwt(), role() or email() in schema %I', auth_schema),
      'Policies that read request.jwt.claims themselves: see behalf.rewrite_policies().');
  end if;
end
$$;

-- Puts the originals back, to the letter. One that somebody replaced since then stays as it is.
create or replace function behalf.release_auth() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
  users text;
begin
  select string_agg(distinct pg_describe_object(d.classid, d.objid, d.objsubid), ', ') into users
  from behalf.adopted a
  join pg_depend d on d.deptype = 'n' and d.refclassid = 'pg_proc'::regclass
    and d.refobjid = to_regprocedure(format('behalf_auth.%I()', a.name))
  where a.definition is null;
  if users is not null then
    perform behalf.refuse('ZB007', 'adopt', format('still in use: %s', users), 'Let these call the application''s own functions again; nothing was changed.');
  end if;
  for item in
    select a.name, a.definition, to_regprocedure(format('%I.%I()', a.schema, a.name)) as function from behalf.adopted a
  loop
    if item.definition is null then
      execute format('drop function if exists behalf_auth.%I()', item.name);
    else
      if behalf.dispatches(item.function) then
        execute item.definition;
      end if;
      execute format('drop function if exists behalf_auth.%I()', 'original_' || item.name);
    end if;
  end loop;
  delete from behalf.adopted;
end
$$;

-- What finds a read of a setting that anybody may set: one with a dot in its name, or whose name is computed.
create or replace function behalf.setting_pattern() returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
  select $re$((?:^|[^."\w$])(?:"?pg_catalog"?\s*\.\s*)?"?)(current_setting"?(?:\s|/\*[^/]*/|--[^\n]*\n)*\((?!\s*'[^'.]*'(?:\s*::\s*\w+)?\s*[^|:\s]))$re$
$$;

-- An expression as the server writes it, with the calls in it going to behalf_auth. String literals and quoted
-- names stay as they are.
create or replace function behalf.rewritten(expression text) returns text
language plpgsql stable strict
set search_path = pg_catalog, pg_temp
as $$
declare
  written text := '';
  seen text := '';
  token text;
  item record;
begin
  for token in
    select m.parts[1] from regexp_matches(expression, $re$('(?:[^']|'')*'|"(?:[^"]|"")*"|[^'"]+)$re$, 'g') with ordinality m (parts, place)
    order by m.place
  loop
    seen := seen || token;
    if left(token, 1) not in ('''', '"') then
      token := regexp_replace(token, '(^|[^.\w$])current_setting\(', '\1behalf_auth.current_setting(', 'g');
      for item in select a.schema, a.name from behalf.adopted a where a.definition is null loop
        token := regexp_replace(token, format('(^|[^.\w$])%s\.%s\(\)', item.schema, item.name), format('\1behalf_auth.%s()', item.name), 'g');
      end loop;
    end if;
    written := written || token;
  end loop;
  if seen <> expression then
    perform behalf.refuse('ZB007', 'rewrite', 'this policy is in no known form', 'Rewrite it by hand.');
  end if;
  return written;
end
$$;

-- Policies that apply to agents by their roles, and whose meaning rests on what an agent's text can set.
create or replace function behalf.applying_policies() returns table (policy name, relation regclass, using_text text, check_text text, id oid)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select p.polname, p.polrelid, pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid), p.oid
  from pg_policy p
  where exists (
    select from unnest(p.polroles) g (oid)
    where g.oid = 0 or g.oid = (select r.oid from pg_roles r where r.rolname = 'behalf_agents')
      or exists (
        select from pg_roles r where pg_has_role(r.oid, g.oid, 'usage')
          and (r.rolname in (select a.role from behalf.agent_roles a) or r.rolname in (select c.role from behalf.companion_roles c))))
$$;

-- Offers, for each policy that applies to agents and reads such a setting itself, the statement that mends it.
-- For everybody else the policy means what it meant. Run what it returns as the table's owner: ALTER POLICY
-- takes an ACCESS EXCLUSIVE lock for a moment.
create or replace function behalf.rewrite_policies(for_relation regclass default null)
returns table (policy name, relation regclass, statement text)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select p.policy, p.relation,
    format('alter policy %I on %s', p.policy, p.relation)
      || coalesce(' using (' || behalf.rewritten(p.using_text) || ')', '')
      || coalesce(' with check (' || behalf.rewritten(p.check_text) || ')', '')
  from behalf.applying_policies() p
  where (p.relation = for_relation or for_relation is null)
    and (concat_ws(' ', p.using_text, p.check_text) ~ behalf.setting_pattern()
      or exists (
        select from behalf.adopted a
        where a.definition is null
          and concat(behalf.rewritten(p.using_text), behalf.rewritten(p.check_text))
            like '%behalf\_auth.' || a.name || '()%'
          and concat(p.using_text, p.check_text) not like '%behalf\_auth.' || a.name || '()%'))
  order by p.relation::text, p.policy
$$;

-- What lets an agent's text, or a thief of the gateway's login, say who the human is.
create or replace function behalf.forgeable() returns table (problem text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  readers oid[];
begin
  -- Functions and views that read such a setting, and those that name one of them: a body is only text.
  with recursive bodies as materialized (
    select f.oid, lower(f.proname) as name, '"?\s*\(' as called,
      regexp_replace(lower(coalesce(pg_get_function_sqlbody(f.oid), f.prosrc)), '\mbehalf_auth"?\s*\.\s*"?(?!original_)\w+', '', 'g') as body
    from pg_proc f join pg_namespace n on n.oid = f.pronamespace join pg_language l on l.oid = f.prolang
    where l.lanname not in ('c', 'internal')
      and (n.nspname not in ('pg_catalog', 'information_schema', 'behalf', 'behalf_sandbox', 'behalf_auth')
        or n.nspname = 'behalf_auth' and f.proname like 'original\_%')
      and not exists (
        select from behalf.adopted a
        where a.schema = n.nspname and a.name = f.proname and f.pronargs = 0 and behalf.dispatches(f.oid))
    union all
    select c.oid, lower(c.relname), '\M',
      regexp_replace(lower(pg_get_viewdef(c.oid)), '\mbehalf_auth"?\s*\.\s*"?(?!original_)\w+', '', 'g')
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'v' and n.nspname not in ('pg_catalog', 'information_schema')
  ), found as (
    select b.oid, b.name, b.called from bodies b where b.body ~ behalf.setting_pattern()
    union
    select b.oid, b.name, b.called from bodies b join found f
      on strpos(b.body, f.name) > 0 and b.body ~ ('(^|[^\w$])' || regexp_replace(f.name, '(\W)', '\\\1', 'g') || f.called)
  )
  select array_agg(f.oid) into readers from found f;

  return query
  with reached as (
    select p.* from behalf.applying_policies() p
    where exists (select from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
      where has_any_column_privilege(r.oid, p.relation, 'select, insert, update') or has_table_privilege(r.oid, p.relation, 'delete'))
  )
  select format('policy %I on %s reads a setting that agents'' texts can set, and so be anybody: select * from behalf.rewrite_policies(%L)',
    p.policy, p.relation, p.relation)
  from reached p
  where concat_ws(' ', p.using_text, p.check_text) ~ behalf.setting_pattern()
  union all
  select distinct format('policy %I on %s rests on %s, which reads a setting that agents'' texts can set, and so be anybody: '
    'see behalf.adopt_auth(), or let it call behalf_auth.current_setting', p.policy, p.relation, pg_describe_object(d.refclassid, d.refobjid, 0))
  from reached p
  join pg_depend d on d.classid = 'pg_policy'::regclass and d.objid = p.id
    and d.refclassid in ('pg_proc'::regclass, 'pg_class'::regclass) and d.refobjid = any (readers)
  union all
  select format('agent role %I may execute %s, which has its owner''s rights and reads a setting that agents'' texts can set: '
    'revoke that, see behalf.adopt_auth(), or let it call behalf_auth.current_setting', r.rolname, f.oid::regprocedure)
  from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  join pg_proc f on f.oid = any (readers) and f.prosecdef
    and f.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
    and has_function_privilege(r.oid, f.oid, 'execute') and has_schema_privilege(r.oid, f.pronamespace, 'usage')
  union all
  -- What writes down who did it, beside what the agent's text may write.
  select format('trigger %I on %s, or %s, which it runs, reads a setting that agents'' texts can set, and so be anybody: '
    'see behalf.adopt_auth(), or let it call behalf_auth.current_setting', t.tgname, t.tgrelid::regclass, t.tgfoid::regprocedure)
  from pg_trigger t
  where (t.tgfoid = any (readers) or pg_get_triggerdef(t.oid) ~ behalf.setting_pattern()) and not t.tgisinternal and t.tgenabled <> 'D'
    and exists (select from behalf.acting_roles() a join pg_roles r on r.rolname = a.role
      where a.mode <> 'read'
        and (has_any_column_privilege(r.oid, t.tgrelid, 'insert, update') or has_table_privilege(r.oid, t.tgrelid, 'delete')))
  union all
  select format('the default of %I of %s, to which agent role %I writes no value of its own, reads a setting that agents'' texts can set, and so be anybody: '
    'see behalf.adopt_auth(), or let it call behalf_auth.current_setting', c.attname, c.attrelid::regclass, r.rolname)
  from pg_attrdef d join pg_attribute c on c.attrelid = d.adrelid and c.attnum = d.adnum,
    behalf.acting_roles() a join pg_roles r on r.rolname = a.role
  where a.mode <> 'read'
    and has_any_column_privilege(r.oid, d.adrelid, 'insert') and not has_column_privilege(r.oid, d.adrelid, d.adnum, 'insert')
    and (pg_get_expr(d.adbin, d.adrelid) ~ behalf.setting_pattern()
      or exists (
        select from pg_depend p
        where p.classid = 'pg_attrdef'::regclass and p.objid = d.oid
          and p.refclassid = 'pg_proc'::regclass and p.refobjid = any (readers)));
end
$$;
