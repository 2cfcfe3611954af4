-- The write sandbox. A hostile text runs inside a SECURITY DEFINER function that the write role owns, as
-- the inside of `with behalf_w as (...) select * from behalf_w`. By its place in the grammar it can only be
-- INSERT, UPDATE, DELETE, MERGE (from 17 on), SELECT, VALUES or TABLE: PostgreSQL itself refuses EXPLAIN,
-- whose counts show hidden rows, SHOW, CALL, DDL and several statements.
--
-- The cursor stays open, so that the login can describe it. It has run to its end by then.

-- The write role of this call, after what has to hold for each of its steps.
create or replace function behalf.write_role() returns name
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := behalf.proved();
begin
  if not exists (select from behalf.gateways g where g.login = session_user and g.kind = 'sandbox' and g.writes) then
    perform behalf.refuse('ZB005', 'gateway_reads', 'agents may only read through this gateway', 'A DBA lets them write with behalf.add_gateway(login, writes => true).');
  end if;
  if payload ->> 'write' is null then
    perform behalf.refuse('ZB005', 'no_write_role', 'this human''s agents may only read', 'A DBA lets them write with behalf.add_write_role(agent role, write role).');
  end if;
  return payload ->> 'write';
end
$$;

-- Runs the text to its end and returns up to `rows` rows of what it returns, as composite text. A row without
-- a line says that `max_bytes` ended the page, or, for a text without RETURNING, how many rows it changed:
-- in a column of its own, because the text could give any other the name that it likes.
create or replace function behalf.write(statement text, rows integer, max_bytes bigint)
returns table (line text, affected bigint)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query execute format('select * from behalf_sandbox.%I($1, $2, $3)', behalf.write_role() || '_write')
    using statement, rows, max_bytes;
end
$$;

-- Checks every deferred constraint and fires every deferred trigger now, as the write role. At COMMIT,
-- PostgreSQL before 18 would run them as the login.
create or replace function behalf.settle() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  writer name := behalf.write_role();
begin
  execute format('select behalf_sandbox.%I()', writer || '_settle');
  -- No policy reaches a large object: it would be everybody's who writes as this role. By way of its owner,
  -- because that is indexed and their number is not bounded.
  if exists (
    select from pg_shdepend d join pg_roles r on r.oid = d.refobjid
    where d.refclassid = 'pg_authid'::regclass and r.rolname = writer and d.deptype = 'o'
      and d.classid = 'pg_largeobject'::regclass
      and d.dbid = (select oid from pg_database where datname = current_database())
  ) then
    perform behalf.refuse('ZB005', 'large_object', 'large objects of an agent''s text are not kept',
      'Every human''s agents could read them. Write to a table; where a DBA gave one to this role, it needs another owner.');
  end if;
end
$$;

create or replace function behalf.put_write_sandbox(write_role name, use_search_path text) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.put_sandbox_function(write_role, write_role || '_write',
    'statement pg_catalog.text, rows pg_catalog.int4, max_bytes pg_catalog.int8', format($make$
    returns table (line pg_catalog.text, affected pg_catalog.int8)
    language plpgsql volatile security definer %s
    as $body$
    declare
      cursor_name pg_catalog.refcursor := 'behalf_cursor';
      -- Agents like to end with a semicolon.
      body pg_catalog.text := pg_catalog.regexp_replace(statement, '[ \t\n\r\f\v;]+$', '');
      counts pg_catalog.bool := false;
      fetched pg_catalog.record;
      used pg_catalog.int8 := 0;
    begin
      begin
        open cursor_name no scroll for execute 'with behalf_w as (' || body || E'\n) select * from behalf_w';
      exception when feature_not_supported then
        -- Most often: no RETURNING. Then the answer is how many rows there were.
        begin
          open cursor_name no scroll for execute 'with behalf_w as (' || body
            || E'\nreturning true) select pg_catalog.count(*) from behalf_w';
          counts := true;
        exception when syntax_error then
          null;
        end;
        -- It was something else: the first error says what.
        if not counts then
          raise;
        end if;
      end;
      if counts then
        fetch cursor_name into affected;
        return next;
        return;
      end if;
      -- At least once, because the first fetch is what runs the text.
      for count in 1 .. greatest(rows, 1) loop
        fetch cursor_name into fetched;
        exit when not found;
        line := fetched::pg_catalog.text;
        used := used + pg_catalog.octet_length(line);
        if used > max_bytes then
          line := null;
          return next;
          exit;
        end if;
        return next;
      end loop;
      -- A SELECT that calls what writes has run no further than it was fetched.
      move forward all from cursor_name;
    end
    $body$;
    $make$, behalf.pinned(use_search_path)));
  perform behalf.put_sandbox_function(write_role, write_role || '_settle', '', format($make$
    returns pg_catalog.void
    language plpgsql volatile security definer %s
    as $body$
    begin
      set constraints all immediate;
      -- An answer that says the change was made must not come before it is durable.
      set local synchronous_commit to default;
    end
    $body$;
    $make$, behalf.pinned(use_search_path)));
end
$$;

-- Prepares the role that the texts of an agent role's agents write as. It gets no grant and no policy from
-- the agent role: give it what it may change, and what it may read to find and to return it.
create or replace function behalf.add_write_role(agent name, write_role name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  use_search_path text := behalf.companion_search_path(agent, 'write', write_role);
begin
  perform behalf.prepare_role(write_role);
  perform behalf.put_write_sandbox(write_role, use_search_path);
  insert into behalf.companion_roles (agent, mode, role) values (agent, 'write', write_role)
  on conflict on constraint companion_roles_pkey do update set role = excluded.role;
end
$$;

-- The search_path of an agent role that gets a companion, after what has to hold for both.
create or replace function behalf.companion_search_path(for_agent name, for_mode text, companion name) returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  use_search_path text := (select a.search_path from behalf.agent_roles a where a.role = for_agent);
begin
  if use_search_path is null then
    perform behalf.refuse('ZB007', 'role', format('%I is no agent role', for_agent), format('Run behalf.add_agent_role(%L) first.', for_agent));
  end if;
  if exists (select from behalf.agent_roles a where a.role = companion)
     or exists (select from behalf.companion_roles c where c.role = companion and (c.agent, c.mode) <> (for_agent, for_mode))
     or exists (select from pg_roles r, pg_roles a where r.rolname = companion and a.rolname = for_agent
       and (pg_has_role(r.oid, a.oid, 'member') or pg_has_role(a.oid, r.oid, 'member'))) then
    perform behalf.refuse('ZB007', 'role',
      format('%I cannot stand beside %I: it has a part of its own already, or one is a member of the other', companion, for_agent),
      'Name a role that is for this alone.');
  end if;
  return use_search_path;
end
$$;
