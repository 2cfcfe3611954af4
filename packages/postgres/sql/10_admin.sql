-- What a DBA calls. None of these functions is granted to anybody: a superuser or behalf_owner runs them.

create or replace function behalf.set_audience(audience text) returns void
language sql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
  update behalf.settings set audience = $1
$$;

create or replace function behalf.add_issuer(issuer text) returns void
language sql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into behalf.issuers (issuer) values ($1) on conflict do nothing
$$;

create or replace function behalf.map_role(
  issuer text, claim text, value text, role name, priority integer default 100
) returns void
language plpgsql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.check_issuer(issuer);
  if not exists (select from behalf.agent_roles a where a.role = map_role.role) then
    perform behalf.refuse('ZB007', 'role', format('%I is no agent role', role), format('Run behalf.add_agent_role(%L) first.', role));
  end if;
  insert into behalf.role_map (issuer, claim, value, role, position)
  values (issuer, claim, value, role, priority)
  on conflict on constraint role_map_pkey do update set role = excluded.role, position = excluded.position;
end
$$;

-- Replaces an issuer's keys by those of its JWK set (RFC 7517). Returns how many are in use now.
-- A key that the issuer no longer publishes stops working at once; tickets that it led to live on until they expire.
create or replace function behalf.put_keys(for_issuer text, jwks jsonb) returns integer
language plpgsql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  jwk jsonb;
  modulus bytea;
  exponent bytea;
  kept text[] := '{}';
begin
  if not exists (select from behalf.issuers i where i.issuer = for_issuer) then
    perform behalf.refuse('ZB007', 'issuer', 'this issuer is not known', 'A DBA adds it with behalf.add_issuer().');
  end if;
  for jwk in select e from jsonb_array_elements(case jsonb_typeof(jwks -> 'keys') when 'array' then jwks -> 'keys' else '[]' end) e loop
    continue when jwk ->> 'kty' is distinct from 'RSA'
      or coalesce(jwk ->> 'use', 'sig') <> 'sig'
      or coalesce(jwk ->> 'alg', 'RS256') <> 'RS256'
      or jsonb_typeof(jwk -> 'kid') is distinct from 'string'
      or length(jwk ->> 'kid') > 512;
    -- RFC 7518 forbids leading zeros; some issuers write one all the same.
    modulus := ltrim(behalf.base64url(jwk ->> 'n'), '\x00');
    exponent := ltrim(behalf.base64url(jwk ->> 'e'), '\x00');
    -- 2048 bits at least (RFC 7518, section 3.3), 4096 at most (a verification takes 2 ms); odd exponents of
    -- up to 31 bits. Other keys are left out: tokens signed with them are refused.
    continue when modulus is null or exponent is null
      or length(modulus) not between 256 and 512 or get_byte(modulus, 0) < 128
      or get_byte(modulus, length(modulus) - 1) % 2 = 0
      or length(exponent) not between 1 and 4
      or behalf.os2ip(exponent) not between 3 and 2147483647
      or mod(behalf.os2ip(exponent), 2) = 0;
    insert into behalf.issuer_keys (issuer, kid, modulus, exponent, octets, padding)
    values (for_issuer, jwk ->> 'kid', behalf.os2ip(modulus), behalf.os2ip(exponent)::integer,
      length(modulus), behalf.rs256_padding(length(modulus)))
    on conflict on constraint issuer_keys_pkey do update set
      modulus = excluded.modulus, exponent = excluded.exponent, octets = excluded.octets, padding = excluded.padding;
    kept := kept || (jwk ->> 'kid');
  end loop;
  if kept = '{}' then
    perform behalf.refuse('ZB007', 'keys', 'the JWK set holds no RS256 key of 2048 to 4096 bits with a kid; the keys stay as they were',
      'Let the issuer sign access tokens for this database with RS256.');
  end if;
  delete from behalf.issuer_keys k where k.issuer = for_issuer and k.kid <> all (kept);
  return cardinality(kept);
end
$$;

create or replace function behalf.grant_gateway(login name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
begin
  execute format('grant usage on schema behalf to %I', login);
  execute format('grant execute on function behalf.exchange(text), behalf.start(text, text, text, text, integer, jsonb), '
    'behalf.preflight(integer) to %I', login);
  for item in select g.kind from behalf.gateways g where g.login = grant_gateway.login loop
    execute format(case item.kind
      when 'sandbox' then 'grant execute on function behalf.read(text, integer, bigint), behalf.open(text), behalf.fetch(integer, bigint, bigint), '
        'behalf.write(text, integer, bigint), behalf.settle() to %I'
      else 'grant execute on function behalf.statement() to %I' end, login);
  end loop;
end
$$;

-- Prepares a login for the sandbox: it may prove humans and run their agents' texts, and nothing else. With
-- `writes`, the texts of humans whose agent role has a write role may write.
drop function if exists behalf.add_gateway(name);
create or replace function behalf.add_gateway(login name, writes boolean default false) returns void
language plpgsql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.check_login(login, 'sandbox');
  insert into behalf.gateways (login, kind, writes) values (login, 'sandbox', writes)
  on conflict on constraint gateways_pkey do update set writes = excluded.writes;
  perform behalf.grant_gateway(login);
end
$$;

-- Prepares a login for an author's statements: it may prove humans and become their statement roles. Run it
-- as somebody who may grant those roles: a superuser, or from 16 on their administrator.
create or replace function behalf.add_statement_gateway(login name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
begin
  perform behalf.check_login(login, 'statement');
  insert into behalf.gateways (login, kind) values (login, 'statement') on conflict do nothing;
  perform behalf.grant_gateway(login);
  for item in
    select c.role from behalf.companion_roles c join pg_roles r on r.rolname = c.role where c.mode = 'statement'
  loop
    perform behalf.grant_role(item.role, login);
  end loop;
end
$$;

create or replace function behalf.check_login(for_login name, for_kind text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  complaint text;
begin
  if not exists (select from pg_roles r where r.rolname = for_login) then
    perform behalf.refuse('ZB007', 'login', format('the role %I does not exist', for_login),
      format('create role %I login noinherit password ''...''', for_login));
  end if;
  if exists (select from behalf.gateways g where g.login = for_login and g.kind <> for_kind) then
    perform behalf.refuse('ZB007', 'login', format('%I is a gateway of the other kind already', for_login),
      'Agents'' texts and an author''s statements need two logins. behalf.remove_gateway() takes one back.');
  end if;
  select p.problem into complaint from behalf.login_problems(for_login, for_kind) p limit 1;
  if complaint is not null then
    perform behalf.refuse('ZB007', 'login', format('the role %I cannot be a gateway: %s', for_login, complaint),
      'A gateway''s login is LOGIN NOINHERIT, has no attribute and is a member of nothing.');
  end if;
end
$$;

-- Run it as somebody who may grant the statement roles, where the login has some.
create or replace function behalf.remove_gateway(login name) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  item record;
begin
  -- Who dropped the login already took these away.
  if exists (select from pg_roles r where r.rolname = login) then
    execute format('revoke all on all functions in schema behalf from %I', login);
    execute format('revoke all on schema behalf from %I', login);
    for item in
      select c.role from behalf.companion_roles c join pg_roles r on r.rolname = c.role
      where c.mode = 'statement' and pg_has_role(login, r.oid, 'member')
    loop
      execute format('revoke %I from %I', item.role, login);
    end loop;
  end if;
  delete from behalf.gateways g where g.login = remove_gateway.login;
end
$$;

-- Refuses this human until reinstate(), whatever the issuer says. Bites at the next statement.
create or replace function behalf.revoke(issuer text, subject text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.set_not_before(issuer, subject, 'infinity');
end
$$;

-- Refuses every token and ticket of this human that was issued until now; one that the issuer issues later
-- works again. For a lost device or a leaked token.
create or replace function behalf.end_sessions(issuer text, subject text) returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.set_not_before(issuer, subject, clock_timestamp());
end
$$;

create or replace function behalf.set_not_before(for_issuer text, for_subject text, moment timestamptz) returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.check_issuer(for_issuer);
  if coalesce(for_subject, '') = '' then
    perform behalf.refuse('ZB007', 'subject', 'no subject was named', 'It is the claim sub of the human''s tokens.');
  end if;
  insert into behalf.revocations (issuer, subject, not_before) values (for_issuer, for_subject, moment)
  on conflict on constraint revocations_pkey
    do update set not_before = greatest(revocations.not_before, excluded.not_before);
end
$$;

-- A slash too many would otherwise withdraw nobody's access, and say nothing.
create or replace function behalf.check_issuer(for_issuer text) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from behalf.issuers i where i.issuer = for_issuer) then
    perform behalf.refuse('ZB007', 'issuer', 'this issuer is not known', 'It must be exactly as in behalf.issuers; a DBA adds one with behalf.add_issuer().');
  end if;
end
$$;

create or replace function behalf.reinstate(issuer text, subject text) returns void
language sql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
  delete from behalf.revocations r where r.issuer = $1 and r.subject = $2
$$;

-- New HMAC keys. Tickets and seals of the key before go on, so that a routine rotation disturbs nobody, not
-- even a call between two of its statements. Where a key may have leaked, rotate twice: every ticket then
-- ends, gateways prove their humans again, and a call under way is refused.
create or replace function behalf.rotate_secrets() returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Two at once would each keep the key that the other one was to remove. Calls read on meanwhile.
  lock table behalf.secrets in share row exclusive mode;
  perform behalf.new_secret('seal');
  perform behalf.new_secret('ticket');
  delete from behalf.secrets s
  where (select count(*) from behalf.secrets newer where newer.purpose = s.purpose and newer.id > s.id) >= 2;
end
$$;

-- Takes ACCESS EXCLUSIVE on all of these tables, or on none, and keeps it until the transaction ends. A request
-- that waited for a long transaction of the application would stand in front of everything that the application
-- sends after it. So nothing waits here: what cannot be had at once is tried anew every 50 ms, with nothing held in
-- between. On a table that is never free for a moment, `set lock_timeout = '100ms'` lets each try wait so long,
-- and what comes after it waits behind it.
create or replace function behalf.lock_tables(relations regclass[], patience interval default '30 s') returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  given text := current_setting('lock_timeout');
  -- Less than deadlock_timeout: a try of several tables may cross a transaction of the application, and the server
  -- would end one of the two.
  wait_ms integer := least(2000, (
    select min(case s.name when 'lock_timeout' then s.setting::integer else s.setting::integer / 2 end)
    from pg_settings s where s.name in ('lock_timeout', 'deadlock_timeout')));
  started timestamptz := clock_timestamp();
  tried timestamptz;
  wanted regclass;
  holders text;
  this_database oid := (select d.oid from pg_database d where d.datname = current_database());
begin
  -- What this transaction has locked already, the application waits for while we are patient.
  if exists (
    select from pg_locks l join pg_class c on c.oid = l.relation
    where l.pid = pg_backend_pid() and l.database = this_database
      and l.mode = 'AccessExclusiveLock' and l.granted and c.relkind in ('r', 'p') and l.relation <> all (relations)
  ) then
    patience := least(patience, '1 s');
  end if;
  loop
    tried := clock_timestamp();
    begin
      foreach wanted in array relations loop
        if wait_ms > 0 then
          perform set_config('lock_timeout',
            greatest(wait_ms - floor(1000 * extract(epoch from clock_timestamp() - tried)), 1)::text, true);
        end if;
        -- A policy is of one table, so its partitions and children stay free.
        execute format('lock table only %s in access exclusive mode%s', wanted, case wait_ms when 0 then ' nowait' else '' end);
      end loop;
      perform set_config('lock_timeout', given, true);
      return;
    exception when lock_not_available then
      null;
    end;
    exit when clock_timestamp() > started + patience;
    perform pg_sleep(0.05);
  end loop;
  select string_agg(distinct coalesce(l.pid::text, 'a prepared transaction'), ', ') into holders
  from pg_locks l
  where l.locktype = 'relation' and l.relation = wanted and l.granted and l.database = this_database
    and l.pid is distinct from pg_backend_pid();
  perform behalf.refuse('55P03', 'locked', format('%s was in use whenever it was asked for', wanted),
    format('It is held by %s: see pg_stat_activity. Try again when that has ended. Where it is never free for a moment, set lock_timeout = ''100ms'' first: '
      'each try then waits so long, and the application behind it. Change one table in one transaction.', coalesce(holders, 'one session after another')));
end
$$;

-- The guard of one table: for agents, and only for them, every verb needs a sealed human whose role
-- runs and, where there is a task, one that covers the table. Other roles do not notice.
-- It holds ACCESS EXCLUSIVE on the table from then on until the transaction ends: one table in one transaction.
-- It needs the rights of the table's owner and of the kit's; a superuser has both. Rows are shown by your own permissive policies `to behalf_agents`.
create or replace function behalf.guard(relation regclass) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  rule record;
begin
  if not exists (select from pg_class c where c.oid = relation and c.relkind in ('r', 'p')) then
    perform behalf.refuse('ZB007', 'relation', format('%s is no table', relation),
      'Guard the tables beneath. A view reads as the human with alter view ... set (security_invoker = true).');
  end if;
  if not (select c.relrowsecurity from pg_class c where c.oid = relation) then
    perform behalf.refuse('ZB007', 'row_security', format('row level security is off for %s', relation),
      format('alter table %s enable row level security; other roles then need a policy of their own.', relation));
  end if;
  perform behalf.lock_tables(array[relation]);
  perform behalf.unguard(relation);
  for rule in
    select * from (values
      ('behalf_guard_read', 'select', 'using', 'read'),
      ('behalf_guard_create', 'insert', 'with check', 'create'),
      ('behalf_guard_update', 'update', 'using', 'update'),
      ('behalf_guard_delete', 'delete', 'using', 'delete')
    ) as rules (policy, command, clause, verb)
  loop
    execute format('create policy %I on %s as restrictive for %s to behalf_agents %s ((select behalf.allows(%L::regclass, %L, current_user)))',
      rule.policy, relation, rule.command, rule.clause, relation, rule.verb);
  end loop;
end
$$;

create or replace function behalf.unguard(relation regclass) returns void
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  policy name;
begin
  for policy in
    select p.polname from pg_policy p
    where p.polrelid = relation
      and p.polname in ('behalf_guard_read', 'behalf_guard_create', 'behalf_guard_update', 'behalf_guard_delete')
  loop
    perform behalf.lock_tables(array[relation]);
    execute format('drop policy %I on %s', policy, relation);
  end loop;
end
$$;

-- Says that agents may read this relation without a guard, and why: reference data that is the same for everybody.
create or replace function behalf.expose(relation regclass, reason text) returns void
language sql volatile strict security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into behalf.exposed (relation, reason) values ($1, $2)
  on conflict on constraint exposed_pkey do update set reason = excluded.reason
$$;
