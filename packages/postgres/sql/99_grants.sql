-- Nothing for everybody; each right has one holder.

-- For the role, not for the schema: default privileges of a schema can only add to what everybody gets.
alter default privileges for role behalf_owner revoke execute on functions from public;
revoke all on all tables in schema behalf from public;
revoke all on all functions in schema behalf from public;
grant execute on function behalf.claim(text), behalf.claims(), behalf.allows(regclass, text, name), behalf.whoami(),
  behalf.statement()
  to behalf_agents;
grant execute on function behalf.put_keys(text, jsonb) to behalf_keysync;

do $$
declare
  item record;
begin
  -- Functions that this version replaced lost their grants.
  for item in
    select g.login from behalf.gateways g join pg_roles r on r.rolname = g.login
  loop
    perform behalf.grant_gateway(item.login);
  end loop;
  -- Back to who installs. Not RESET ROLE: that would outlive the transaction.
  perform set_config('role', current_setting('behalf.installer'), true);
end
$$;

set local client_min_messages = notice;

do $$
declare
  item record;
begin
  -- The sandbox functions are written by add_agent_role(), so they are of the version that wrote them.
  for item in
    select a.role, a.search_path from behalf.agent_roles a join pg_roles r on r.rolname = a.role
  loop
    if pg_has_role(item.role, 'member') then
      perform behalf.add_agent_role(item.role, item.search_path);
    else
      raise notice 'behalf: run select behalf.add_agent_role(%) as somebody who may be that role', quote_literal(item.role);
    end if;
  end loop;
  if current_setting('behalf.lent') = 'yes' then
    execute format('revoke behalf_owner from %I', current_user);
  end if;
end
$$;
