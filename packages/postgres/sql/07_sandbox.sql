-- The read sandbox: a hostile text is only ever a bind parameter. It runs inside a SECURITY DEFINER
-- function that the agent role owns, where PostgreSQL itself refuses SET ROLE, COMMIT, DO, several
-- statements, EXPLAIN and every write.
--
-- The login calls read(), or open() and then fetch() for page after page, and describes the portal
-- `behalf_cursor`. It must never FETCH from that portal itself: the agent's expressions would then run as the login, outside the function.

-- The role of this call, after what has to hold for each of its steps.
create or replace function behalf.sandbox_role() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  -- A caller that forgot READ ONLY is refused here instead of being trusted. Without it, a cursor of the
  -- login's own making, fetched by fetch(), could write as the agent role.
  if not current_setting('transaction_read_only')::boolean then
    perform behalf.refuse('ZB007', 'read_only', 'the read sandbox needs a READ ONLY transaction', 'Begin with BEGIN READ ONLY.');
  end if;
  return behalf.proved() ->> 'role';
end
$$;

-- One statement and its first page, in one function: 50 us less than open() and fetch(). The cursor stays
-- open, so that the login can describe it.
create or replace function behalf.read(statement text, rows integer, max_bytes bigint) returns setof text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute format('select * from behalf_sandbox.%I($1, $2, $3)', behalf.sandbox_role() || '_read')
    using statement, rows, max_bytes;
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

-- Up to `rows` rows as composite text. A NULL at the end says that `max_bytes` ended the result before the
-- row that would have passed it; `page_bytes` only ends the page, after the row that reached it.
drop function if exists behalf.fetch(integer, bigint);
create or replace function behalf.fetch(rows integer, max_bytes bigint, page_bytes bigint default null) returns setof text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute format('select * from behalf_sandbox.%I($1, $2, $3)', behalf.sandbox_role() || '_fetch')
    using rows, max_bytes, page_bytes;
end
$$;

-- Version 1 of the kit fetched without page_bytes.
do $$
declare
  item record;
begin
  for item in
    select f.oid::regprocedure as name from pg_proc f
    where f.pronamespace = 'behalf_sandbox'::regnamespace and f.proname like '%\_fetch' and f.proargtypes = '23 20'
  loop
    execute format('drop function %s', item.name);
  end loop;
end
$$;

-- What every role that agents' texts or authors' statements run as has to be: a group without any power of
-- its own, inside behalf_agents, so that the guards apply to it. Makes it where it is missing.
create or replace function behalf.prepare_role(agent name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  attributes pg_roles;
begin
  if octet_length(agent) > 56 then
    perform behalf.refuse('ZB007', 'role', 'the name of an agent role has at most 56 bytes', 'Its sandbox functions are named after it.');
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
end
$$;

create or replace function behalf.quoted_path(use_search_path text) returns text
language sql immutable strict
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(quote_ident(trim(part)), ', ') from unnest(string_to_array(use_search_path, ',')) part
$$;

-- SET clauses of a sandbox function: what rows a policy shows must not depend on what a connection was set to.
-- They are no barrier against the text itself, which may call set_config: see "What a superuser can add" in
-- docs/postgres.md.
create or replace function behalf.pinned(use_search_path text) returns text
language sql stable strict
set search_path = pg_catalog, pg_temp
as $$
  select format('set search_path = %s, pg_temp set TimeZone = ''UTC'' set DateStyle = ''ISO, MDY'' '
    'set IntervalStyle = ''postgres'' set extra_float_digits = ''1'' set bytea_output = ''hex'' '
    'set xmlbinary = ''base64'' set lc_monetary = ''C'' set lc_numeric = ''C'' set lc_time = ''C''',
    behalf.quoted_path(use_search_path))
$$;

-- Texts that look as if they aggregate. A guess, for speed alone: a text that it mistakes gets the same answer.
create or replace function behalf.aggregates() returns text
language sql immutable parallel safe
set search_path = pg_catalog, pg_temp
return '\m(count|sum|avg|min|max|every|bool_and|bool_or|stddev\w*|var_\w+|variance|\w+_agg)\s*\(|\mgroup\s+by\M';

-- Makes a function in behalf_sandbox that belongs to `agent` and that only behalf_owner may execute.
create or replace function behalf.put_sandbox_function(agent name, name text, parameters text, definition text) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  lent boolean := false;
begin
  -- Who gives something to a role must be able to be that role, and who replaces what it has must own it. A
  -- superuser can; who may only administer the role (CREATEROLE, from 16 on) lends it to himself for a moment.
  if not pg_has_role(agent, 'usage')
     or not pg_has_role(agent, (case when current_setting('server_version_num')::integer < 160000 then 'member' else 'set' end)) then
    execute format('grant %I to %I', agent, current_user);
    lent := true;
  end if;
  -- Only the owner of a schema's objects may create in it; the grant is taken back below.
  execute format('grant usage, create on schema behalf_sandbox to %I', agent);
  execute format('create or replace function behalf_sandbox.%I(%s) %s', name, parameters, definition);
  execute format('revoke all on function behalf_sandbox.%I(%s) from public', name, parameters);
  execute format('grant execute on function behalf_sandbox.%I(%s) to behalf_owner', name, parameters);
  execute format('alter function behalf_sandbox.%I(%s) owner to %I', name, parameters, agent);
  execute format('revoke all on schema behalf_sandbox from %I', agent);
  if lent then
    execute format('revoke %I from %I', agent, current_user);
  end if;
end
$$;

-- Prepares a role for agents: makes it where it is missing, puts it into behalf_agents and gives it its
-- three sandbox functions. Run it as the DBA, once per role; it may be run again.
create or replace function behalf.add_agent_role(agent name, use_search_path text default 'public') returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  companion record;
begin
  perform behalf.prepare_role(agent);
  perform behalf.put_sandbox_function(agent, agent || '_open', 'statement pg_catalog.text', format($make$
    returns pg_catalog.void
    language plpgsql stable security definer %s
    as $body$
    declare
      cursor_name pg_catalog.refcursor := 'behalf_cursor';
    begin
      open cursor_name no scroll for execute statement;
    end
    $body$;
    $make$, behalf.pinned(use_search_path)));
  perform behalf.put_sandbox_function(agent, agent || '_fetch',
    'rows pg_catalog.int4, max_bytes pg_catalog.int8, page_bytes pg_catalog.int8', format($make$
    returns setof pg_catalog.text
    language plpgsql stable security definer %s
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
        exit when used >= page_bytes;
      end loop;
    end
    $body$;
    $make$, behalf.pinned(use_search_path)));

  perform behalf.put_sandbox_function(agent, agent || '_read',
    'statement pg_catalog.text, rows pg_catalog.int4, max_bytes pg_catalog.int8', format($make$
    returns setof pg_catalog.text
    language plpgsql stable security definer %s
    as $body$
    declare
      cursor_name pg_catalog.refcursor := 'behalf_cursor';
      line pg_catalog.record;
      written pg_catalog.text;
      used pg_catalog.int8 := 0;
      lines pg_catalog.text[];
    begin
      -- By this the text is one SELECT, of the server's own grammar, and its columns can be described.
      open cursor_name no scroll for execute statement;
      -- No cursor runs in parallel, and an aggregate over a large table is worth planning again (60 us): 1.8
      -- times as fast with two processors. What is one SELECT stays one between parentheses. The same caps.
      if statement ~* %L then
        begin
          execute 'select pg_catalog.array_agg(case when used <= $1 then line end) filter (where used - pg_catalog.octet_length(line) <= $1)'
            ' from (select line, pg_catalog.sum(pg_catalog.octet_length(line)) over (rows unbounded preceding) as used'
            ' from (select (behalf_r.*)::pg_catalog.text as line from ('
            || pg_catalog.regexp_replace(statement, '[ \t\n\r\f\v;]+$', '') || E'\n) as behalf_r limit $2) r) r'
            into lines using max_bytes, rows;
          return query select pg_catalog.unnest(lines);
          return;
        exception when syntax_error then
          null; -- A semicolon before a comment: the cursor takes it.
        end;
      end if;
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
    $make$, behalf.pinned(use_search_path), behalf.aggregates()));

  insert into behalf.agent_roles (role, search_path) values (agent, use_search_path)
  on conflict (role) do update set search_path = excluded.search_path;
  for companion in select c.role from behalf.companion_roles c where c.agent = add_agent_role.agent and c.mode = 'write' loop
    perform behalf.put_write_sandbox(companion.role, use_search_path);
  end loop;
end
$$;
