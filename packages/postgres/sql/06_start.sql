-- A call begins: the proof becomes claims that are sealed for this transaction.

-- Sets the transaction-local seal. The MAC binds the payload to this backend and this transaction
-- (pid and now()), so that a copy of it is worth nothing in any other.
-- Dropped only where it has other results: a call that is planning it at that moment fails.
do $$
begin
  if exists (
    select from pg_proc f
    where f.oid = to_regprocedure('behalf.start(text, text, text, text, integer, jsonb)') and 'path' <> all (f.proargnames)
  ) then
    drop function behalf.start(text, text, text, text, integer, jsonb);
  end if;
end
$$;
create or replace function behalf.start(
  -- A ticket, or the access token itself. With the token the new ticket comes back.
  proof text,
  -- Whom the caller takes the proof to be of. Anybody else is refused.
  for_issuer text,
  for_subject text,
  -- Stands in application_name while the call runs. A hint for people, not evidence.
  call_id text default null,
  -- Longest time for each of the following statements, in milliseconds.
  timeout_ms integer default null,
  -- What the call is narrowed to: {"id", "exp", "authorization_details": [{"actions", "objects"}]}.
  task jsonb default null,
  out ticket text,
  out expires_at double precision,
  -- What agents' texts read as, write as, and what an author's statements run as; null where they may not.
  out role name,
  out write_role name,
  out statement_role name,
  -- The search_path of an author's statements. An agent's text gets it from its sandbox.
  out path text
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  octets bytea := convert_to(proof, 'UTF8');
  body bytea := substr(octets, 70);
  ticket_inner bytea;
  ticket_outer bytea;
  seal_inner bytea;
  seal_outer bytea;
  not_before timestamptz;
  payload jsonb;
  done text;
begin
  -- One condition, because each costs 1 us: PL/pgSQL sets every expression up anew in each transaction.
  if current_setting('transaction_isolation') <> 'read committed' or current_setting('behalf.seal', true) <> '' then
    if current_setting('transaction_isolation') <> 'read committed' then
      perform behalf.refuse_old_snapshot();
    end if;
    if behalf.sealed() is not null then
      perform behalf.refuse('ZB003', 'started', 'a human is sealed in this transaction already', 'One transaction serves one human: end it first.');
    end if;
  end if;

  -- Two look-ups and no join, into scalars and no record: 4 us and 3 us less.
  select s.inner_block, s.outer_block into strict ticket_inner, ticket_outer
  from behalf.secrets s where s.purpose = 'ticket' order by s.id desc limit 1;
  select s.inner_block, s.outer_block,
    (select r.not_before from behalf.revocations r where r.issuer = for_issuer and r.subject = for_subject)
  into strict seal_inner, seal_outer, not_before
  from behalf.secrets s where s.purpose = 'seal' order by s.id desc limit 1;

  -- The way that nearly every call takes: a ticket of the newest key, looked at in one expression, 21 us less
  -- than step by step. Keys pass through simple expressions only: see 03_hmac.sql.
  if octet_length(proof) <= 65536 and left(proof, 4) = 'bt1.' and (
       sha256(substr(octets, 5, 64)) = sha256(convert_to(encode(
         sha256(ticket_outer || sha256(ticket_inner || body)), 'hex'), 'UTF8'))) is true then
    payload := convert_from(body, 'UTF8')::jsonb;
  end if;
  if (payload ->> 'login' = session_user
      and (payload ->> 'exp')::numeric > extract(epoch from clock_timestamp())
      and payload -> 'claims' ->> 'iss' = for_issuer and payload -> 'claims' ->> 'sub' = for_subject
      and (not_before is null or (payload -> 'claims' ->> 'iat')::numeric > extract(epoch from not_before))) is not true then
    -- Everything else: a token, a ticket of the key before, and whatever must be refused, with its reason.
    if left(proof, 4) = 'bt1.' then
      payload := behalf.read_ticket(proof);
    else
      select made.ticket, made.payload into ticket, payload from behalf.make_ticket(proof) made;
    end if;
    if (payload -> 'claims' ->> 'iss' = for_issuer and payload -> 'claims' ->> 'sub' = for_subject) is not true then
      perform behalf.refuse('ZB010', 'subject', 'the proof is of another human than the call', 'The caller mixed up credentials: report it.');
    end if;
    if behalf.revoked(payload) then
      perform behalf.refuse_revoked();
    end if;
    body := convert_to(payload::text, 'UTF8');
  end if;
  if task is not null then
    perform behalf.check_task(task);
    payload := payload || jsonb_build_object('task', task);
    body := convert_to(payload::text, 'UTF8');
  end if;

  -- An assignment and no PERFORM, for the same reason.
  done := set_config('behalf.seal', encode(sha256(seal_outer || sha256(seal_inner
    || int4send(pg_backend_pid()) || timestamptz_send(now()) || body)), 'hex') || convert_from(body, 'UTF8'), true)
    || case when call_id is not null then set_config('application_name', 'behalf/' || call_id, true) end
    || case when timeout_ms is not null then set_config('statement_timeout', greatest(timeout_ms, 1)::text, true) end;
  expires_at := (payload ->> 'exp')::double precision;
  role := payload ->> 'role';
  write_role := payload ->> 'write';
  statement_role := payload ->> 'statement';
  path := payload ->> 'path';
end
$$;

create or replace function behalf.revoked(payload jsonb) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := payload -> 'claims';
  withdrawn timestamptz;
begin
  select r.not_before into withdrawn from behalf.revocations r
  where r.issuer = claims ->> 'iss' and r.subject = claims ->> 'sub';
  return withdrawn is not null and ((claims ->> 'iat')::numeric > extract(epoch from withdrawn)) is not true;
end
$$;

create or replace function behalf.refuse_revoked() returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.refuse('ZB004', 'revoked', 'this human''s access was withdrawn', 'A DBA lets this human in again with behalf.reinstate(); after behalf.end_sessions() a newer token is enough.');
end
$$;

-- The sealed payload, after what has to hold for every step of a call: a human is proved, and still welcome.
create or replace function behalf.proved() returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := behalf.sealed();
  withdrawn timestamptz;
begin
  if payload ->> 'role' is null then
    perform behalf.refuse('ZB003', 'not_started', 'no human in this transaction', 'Call behalf.start() first.');
  end if;
  -- Not revoked() at once: every step of every call comes by here, and that is 12 us more.
  select r.not_before into withdrawn from behalf.revocations r
  where r.issuer = payload -> 'claims' ->> 'iss' and r.subject = payload -> 'claims' ->> 'sub';
  if withdrawn is not null and behalf.revoked(payload) then
    perform behalf.refuse_revoked();
  end if;
  return payload;
end
$$;

-- A task narrows. What is not understood could be meant to narrow further, so it is refused.
create or replace function behalf.check_task(task jsonb) returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if jsonb_typeof(task) <> 'object' or jsonb_typeof(task -> 'authorization_details') is distinct from 'array'
     or jsonb_typeof(task -> 'exp') is distinct from 'number' then
    perform behalf.refuse('ZB009', 'task', 'the task is malformed', 'It needs exp and authorization_details.');
  end if;
  if task - array['id', 'exp', 'authorization_details'] <> '{}' or exists (
    select from jsonb_array_elements(task -> 'authorization_details') detail
    where case jsonb_typeof(detail) when 'object' then
      jsonb_typeof(detail -> 'actions') is distinct from 'array'
      or jsonb_typeof(detail -> 'objects') is distinct from 'array'
      or detail - array['type', 'actions', 'objects'] <> '{}'
    else true end
  ) then
    perform behalf.refuse('ZB009', 'task', 'the task says something that this database does not understand', 'A detail has type, actions and objects; the last two are lists.');
  end if;
  if (task ->> 'exp')::numeric <= extract(epoch from clock_timestamp()) then
    perform behalf.refuse('ZB009', 'task_expired', 'the task has expired', 'Ask the human for a new one.');
  end if;
end
$$;

-- The sealed payload, or NULL without a seal. One that is expired, forged, of another transaction or of a key
-- that is gone is an error and not NULL: to policies NULL is nobody, and nobody's answer, no rows, would look
-- like the human's own.
create or replace function behalf.sealed() returns jsonb
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
  octets bytea := convert_to(current_setting('behalf.seal', true), 'UTF8');
  inner_key bytea;
  outer_key bytea;
  payload jsonb;
begin
  if octets is null or octets = '' then
    return null;
  end if;
  select s.inner_block, s.outer_block into strict inner_key, outer_key from behalf.secrets s
  where s.purpose = 'seal' order by s.id desc limit 1;
  -- Hashed before they are compared, so that the time of the comparison says nothing about the MAC.
  if (sha256(substr(octets, 1, 64)) = sha256(convert_to(encode(
       sha256(outer_key || sha256(inner_key
         || int4send(pg_backend_pid()) || timestamptz_send(now()) || substr(octets, 65))),
       'hex'), 'UTF8'))) is not true then
    -- Or made with the key before: rotate_secrets() may commit between two statements of one call.
    select s.inner_block, s.outer_block into inner_key, outer_key from behalf.secrets s
    where s.purpose = 'seal' order by s.id desc offset 1 limit 1;
    if (sha256(substr(octets, 1, 64)) = sha256(convert_to(encode(behalf.hmac(inner_key, outer_key,
         int4send(pg_backend_pid()) || timestamptz_send(now()) || substr(octets, 65)), 'hex'), 'UTF8'))) is not true then
      perform behalf.refuse('ZB003', 'seal', 'the seal of this transaction is not, or no longer, one of this database', 'Begin the call anew.');
    end if;
  end if;
  payload := convert_from(substr(octets, 65), 'UTF8')::jsonb;
  -- clock_timestamp(), so that an expiry bites in the middle of a transaction, and also in the middle of a
  -- statement that somebody keeps running.
  if ((payload ->> 'exp')::numeric > extract(epoch from clock_timestamp())) is not true then
    perform behalf.refuse('ZB002', 'expired', 'the proof of the human has expired', 'Begin the call anew.');
  end if;
  return payload;
end
$$;

-- What policies read: `using (tenant_id = (select behalf.claim('org_id')))`. The `(select ...)` makes it
-- run once per statement. Scalars come as text, lists and objects as JSON text, nothing as NULL.
create or replace function behalf.claim(name text) returns text
language plpgsql stable strict parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return behalf.sealed() -> 'claims' ->> name;
end
$$;

-- All claims, or NULL without a human.
create or replace function behalf.claims() returns jsonb
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return behalf.sealed() -> 'claims';
end
$$;

-- The guard: is there a sealed human, is one of their roles the one that runs, and is this within the task?
-- `running_as` is an argument because current_user inside this function is its owner.
create or replace function behalf.allows(relation regclass, verb text, running_as name) returns boolean
language plpgsql stable parallel restricted security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := behalf.sealed();
begin
  if (running_as = payload ->> 'role' or running_as = payload ->> 'write' or running_as = payload ->> 'statement') is not true then
    return false;
  end if;
  if not payload ? 'task' then
    return true;
  end if;
  return (payload -> 'task' ->> 'exp')::numeric > extract(epoch from clock_timestamp())
    and exists (
      select from jsonb_array_elements(payload -> 'task' -> 'authorization_details') detail
      where detail -> 'actions' ? verb
        and detail -> 'objects' ? (
          -- Without a dot in a name there is only one way to read it; with one, it has to be quoted.
          select case when strpos(n.nspname || c.relname, '.') = 0
            then n.nspname || '.' || c.relname else format('%I.%I', n.nspname, c.relname) end
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.oid = relation));
end
$$;

-- Who this database thinks is calling. Runs with the rights of the caller, so that the roles are the true ones.
create or replace function behalf.whoami(
  out role name, out login name, out issuer text, out subject text, out actors jsonb,
  out pid integer
)
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := behalf.claims();
  actor jsonb := claims -> 'act';
begin
  role := current_user;
  login := session_user;
  issuer := claims ->> 'iss';
  subject := claims ->> 'sub';
  actors := '[]';
  while actor is not null loop
    -- Gateways that exchange again nest themselves again; one actor counts once.
    if actors -> -1 is distinct from actor -> 'sub' then
      actors := actors || jsonb_build_array(actor -> 'sub');
    end if;
    actor := actor -> 'act';
  end loop;
  pid := pg_backend_pid();
end
$$;
