-- Roles of the kit. None of them can log in.

-- Nothing that somebody else created on the installer's search_path may be taken for what is meant here.
set local search_path = pg_catalog, pg_temp;

do $$
declare
  wanted pg_catalog.text;
begin
  -- 99_grants.sql goes back to this role and takes back what is granted to it below.
  perform pg_catalog.set_config('behalf.installer', current_user, true);
  perform pg_catalog.set_config('behalf.lent', 'no', true);
  foreach wanted in array array['behalf_owner', 'behalf_agents', 'behalf_keysync'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      begin
        execute pg_catalog.format('create role %I nologin', wanted);
        -- Only who made the role comments on it: two installs at once would disturb one another.
        execute pg_catalog.format('comment on role %I is %L', wanted, case wanted
          when 'behalf_owner' then 'Behalf: owns the in-database kit and its keys. Nobody should be a member.'
          when 'behalf_agents' then 'Behalf: group of the roles that agents'' statements run as. Policies for agents name it.'
          else 'Behalf: may replace the public keys of known issuers. Give it to the login of the key synchronisation, never to a gateway.'
        end);
      exception when duplicate_object or unique_violation then
        null; -- Another database of this server installs the kit at this moment.
      end;
    end if;
  end loop;

  -- A role of that name which somebody made for something else must not become the owner of the keys.
  if exists (
    select from pg_catalog.pg_roles
    where rolname in ('behalf_owner', 'behalf_agents', 'behalf_keysync')
      and (rolcanlogin or rolsuper or rolbypassrls or rolcreaterole or rolcreatedb or rolreplication)
  ) then
    raise exception 'behalf: a role named behalf_owner, behalf_agents or behalf_keysync exists and can do more than the kit''s own roles may'
      using hint = 'Rename it, or take its attributes away: alter role ... nologin nosuperuser nobypassrls nocreaterole nocreatedb noreplication.';
  end if;

  -- Who installs must be able to create objects as the owner. A superuser is it already.
  if not (select rolsuper from pg_catalog.pg_roles where rolname = current_user)
     and not pg_catalog.pg_has_role(current_user, 'behalf_owner', 'usage') then
    execute pg_catalog.format('grant behalf_owner to %I', current_user);
    perform pg_catalog.set_config('behalf.lent', 'yes', true);
  end if;
end
$$;

create schema if not exists behalf authorization behalf_owner;
create schema if not exists behalf_sandbox authorization behalf_owner;
create schema if not exists behalf_auth authorization behalf_owner;

do $$
begin
  if exists (
    select from pg_catalog.pg_namespace n
    where n.nspname in ('behalf', 'behalf_sandbox', 'behalf_auth')
      and n.nspowner <> (select oid from pg_catalog.pg_roles where rolname = 'behalf_owner')
  ) then
    raise exception 'behalf: a schema named behalf, behalf_sandbox or behalf_auth exists and belongs to somebody else'
      using hint = 'The kit needs these three names. Rename the schema that is there.';
  end if;
end
$$;

revoke all on schema behalf, behalf_sandbox from public;
grant usage on schema behalf to behalf_agents, behalf_keysync;
-- Policies and functions of the application call what is in there, whoever uses them: see 11_compatibility.sql.
grant usage on schema behalf_auth to public;

-- The following files run as the owner, in the same transaction: nothing of the kit belongs to who installs it.
-- A later version that changes the parameters or the result of a function drops the old form in the file
-- that creates the new one (`drop function if exists behalf.open(text);`): PostgreSQL cannot replace it,
-- only claim, claims, allows and whoami can have dependents, and 99_grants.sql grants everything anew.
set local role behalf_owner;
