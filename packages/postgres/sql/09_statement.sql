-- Statement mode: the text is the author's own, only its values come from outside. It runs as a role of its
-- own, under `set local role`, over a login of its own.

-- Prepares the role that an author's statements run as for humans who are mapped to `agent`. It gets no
-- grant and no policy from the agent role. It owns nothing, because a login may become it.
create or replace function behalf.add_statement_role(agent name, statement_role name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
begin
  perform behalf.companion_search_path(agent, 'statement', statement_role);
  perform behalf.prepare_role(statement_role);
  -- Who becomes the role becomes what it is a member of.
  for item in select g.role from behalf.reachable(statement_role) g loop
    perform behalf.refuse('ZB007', 'role', format('the statement role %I is a member of %I', statement_role, item.role),
      format('revoke %I from %I', item.role, statement_role));
  end loop;
  insert into behalf.companion_roles (agent, mode, role) values (agent, 'statement', statement_role)
  on conflict on constraint companion_roles_pkey do update set role = excluded.role;
  for item in select g.login from behalf.gateways g join pg_roles r on r.rolname = g.login where g.kind = 'statement' loop
    perform behalf.grant_role(statement_role, item.login);
  end loop;
end
$$;

-- Roles that `from_role` can become with SET ROLE, however far away, beside the ones that it is meant to. What it
-- only inherits from is none of them.
create or replace function behalf.reachable(from_role name) returns table (role name)
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$
  select g.rolname
  from pg_roles r join pg_roles g on g.oid <> r.oid
    -- From 16 on a membership may give rights alone; who administers it can change that.
    and (pg_has_role(r.oid, g.oid, case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)
      or pg_has_role(r.oid, g.oid, 'member with admin option'))
  where r.rolname = from_role and g.rolname <> 'behalf_agents'
    and not exists (select from behalf.companion_roles c where c.role = g.rolname and c.mode = 'statement')
$$;

-- A membership that lets the login become the role with SET ROLE, and nothing more.
create or replace function behalf.grant_role(role name, login name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('server_version_num')::integer < 160000 then
    -- The login is NOINHERIT: it is the same.
    execute format('grant %I to %I', role, login);
  else
    execute format('grant %I to %I with inherit false, set true', role, login);
  end if;
end
$$;

-- The role that this call's statements run as, and its search_path, after what has to hold for each of them.
-- The login sets both itself: inside a SECURITY DEFINER function PostgreSQL does not let it.
create or replace function behalf.statement(out role name, out path text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := behalf.proved();
begin
  role := payload ->> 'statement';
  if role is null then
    perform behalf.refuse('ZB005', 'no_statement_role', 'no statement role stands beside this human''s agent role', 'A DBA adds one with behalf.add_statement_role(agent role, statement role).');
  end if;
  select behalf.quoted_path(a.search_path) || ', pg_temp' into path
  from behalf.agent_roles a where a.role = payload ->> 'role';
end
$$;
