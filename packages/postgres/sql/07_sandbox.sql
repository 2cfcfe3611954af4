-- The read sandbox: a hostile text is only ever a bind parameter. It runs inside a SECURITY DEFINER
-- function that the agent role owns, where PostgreSQL itself refuses SET ROLE, COMMIT, DO, several
-- statements, EXPLAIN and every write.
--
-- The login calls open(), describes the portal `behalf_cursor`, and calls fetch(). It must never FETCH
-- from that portal itself: the agent's expressions would then run as the login, outside the function.

-- The role of this call, after what has to hold for each of its steps.
create or replace function behalf.sandbox_role() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := behalf.sealed();
begin
  -- A caller that forgot READ ONLY is refused here instead of being trusted. Without it, a cursor of the
  -- login's own making, fetched by fetch(), could write as the agent role.
  if not current_setting('transaction_read_only')::boolean then
    perform behalf.refuse('ZB007', 'read_only', 'the read sandbox needs a READ ONLY transaction', 'Begin with BEGIN READ ONLY.');
  end if;
  if payload ->> 'role' is null then
    perform behalf.refuse('ZB003', 'not_started', 'no human in this transaction', 'Call behalf.start() first.');
  end if;
  if behalf.revoked(payload) then
    perform behalf.refuse_revoked();
  end if;
  return payload ->> 'role';
end
$$;

create or replace function behalf.open(statement text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  execute format('select behalf_sandbox.%I($1)', behalf.sandbox_role() || '_open') using statement;
end
$$;

-- Up to `rows` rows as composite text. A NULL at the end says that `max_bytes` ended the page.
create or replace function behalf.fetch(rows integer, max_bytes bigint) returns setof text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute format('select * from behalf_sandbox.%I($1, $2)', behalf.sandbox_role() || '_fetch')
    using rows, max_bytes;
end
$$;

-- Prepares a role for agents: makes it where it is missing, puts it into behalf_agents and gives it its
-- two sandbox functions. Run it as the DBA, once per role; it may be run again.
create or replace function behalf.add_agent_role(agent name, use_search_path text default 'public') returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  attributes pg_roles;
  lent boolean := false;
  -- What rows a policy shows must not depend on what a connection was set to.
  pinned text := format('set search_path = %s, pg_temp set TimeZone = ''UTC'' set DateStyle = ''ISO, MDY'' '
    'set IntervalStyle = ''postgres'' set extra_float_digits = ''1'' set bytea_output = ''hex'' '
    'set xmlbinary = ''base64'' set lc_monetary = ''C'' set lc_numeric = ''C'' set lc_time = ''C''',
    (select string_agg(quote_ident(trim(part)), ', ') from unnest(string_to_array(use_search_path, ',')) part));
begin
  if octet_length(agent) > 57 then
    perform behalf.refuse('ZB007', 'role', 'the name of an agent role has at most 57 bytes', 'Its sandbox functions are named after it.');
  end if;
  if not exists (select from pg_roles r where r.rolname = agent) then
    execute format('create role %I nologin', agent);
  end if;
  select r.* into strict attributes from pg_roles r where r.rolname = agent;
  if attributes.rolcanlogin or attributes.rolsuper or attributes.rolbypassrls or attributes.rolcreaterole
     or attributes.rolcreatedb or attributes.rolreplication or not attributes.rolinherit then
    perform behalf.refuse('ZB007', 'role', format('the role %I can do more than an agent may', agent),
      'An agent role is NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION INHERIT.');
  end if;
  execute format('grant behalf_agents to %I', agent);
  -- Who gives something to a role must be able to be that role, and who replaces what it has must own it. A
  -- superuser can; who may only administer the role (CREATEROLE, from 16 on) lends it to himself for a moment.
  if not pg_has_role(agent, 'usage')
     or not pg_has_role(agent, (case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)) then
    execute format('grant %I to %I', agent, current_user);
    lent := true;
  end if;
  -- Only the owner of a schema's objects may create in it; the grant is taken back below.
  execute format('grant usage, create on schema behalf_sandbox to %I', agent);

  execute format($make$
    create or replace function behalf_sandbox.%1$I(statement pg_catalog.text) returns pg_catalog.void
    language plpgsql stable security definer %2$s
    as $body$
    declare
      cursor_name pg_catalog.refcursor := 'behalf_cursor';
    begin
      open cursor_name no scroll for execute statement;
    end
    $body$;
    $make$, agent || '_open', pinned);
  execute format($make$
    create or replace function behalf_sandbox.%1$I(rows pg_catalog.int4, max_bytes pg_catalog.int8)
    returns setof pg_catalog.text
    language plpgsql stable security definer %2$s
    as $body$
    declare
      cursor_name pg_catalog.refcursor := 'behalf_cursor';
      line pg_catalog.record;
      written pg_catalog.text;
      used pg_catalog.int8 := 0;
    begin
      for count in 1 .. rows loop
        fetch cursor_name into line;
        exit when not found;
        written := line::pg_catalog.text;
        used := used + pg_catalog.octet_length(written);
        if used > max_bytes then
          return next null;
          exit;
        end if;
        return next written;
      end loop;
    end
    $body$;
    $make$, agent || '_fetch', pinned);

  execute format('revoke all on function behalf_sandbox.%I(text), behalf_sandbox.%I(int4, int8) from public',
    agent || '_open', agent || '_fetch');
  execute format('grant execute on function behalf_sandbox.%I(text), behalf_sandbox.%I(int4, int8) to behalf_owner',
    agent || '_open', agent || '_fetch');
  execute format('alter function behalf_sandbox.%I(text) owner to %I', agent || '_open', agent);
  execute format('alter function behalf_sandbox.%I(int4, int8) owner to %I', agent || '_fetch', agent);
  execute format('revoke all on schema behalf_sandbox from %I', agent);
  if lent then
    execute format('revoke %I from %I', agent, current_user);
  end if;

  insert into behalf.agent_roles (role, search_path) values (agent, use_search_path)
  on conflict (role) do update set search_path = excluded.search_path;
end
$$;
