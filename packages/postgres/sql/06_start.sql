-- A call begins: the proof becomes claims that are sealed for this transaction.

-- Sets the transaction-local seal. The MAC binds the payload to this backend and this transaction
-- (pid and now()), so that a copy of it is worth nothing in any other.
drop function if exists behalf.start(text, text, text, text, integer, jsonb);
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
  out statement_role name
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb;
  sealed text;
  secret behalf.secrets;
begin
  if current_setting('transaction_isolation') <> 'read committed' and clock_timestamp() > now() + interval '2 seconds' then
    perform behalf.refuse_old_snapshot();
  end if;
  if behalf.sealed() is not null then
    perform behalf.refuse('ZB003', 'started', 'a human is sealed in this transaction already', 'One transaction serves one human: end it first.');
  end if;
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
  if task is not null then
    perform behalf.check_task(task);
    payload := payload || jsonb_build_object('task', task);
  end if;

  select s.* into strict secret from behalf.secrets s
  where s.purpose = 'seal' order by s.id desc limit 1;
  sealed := payload::text;
  -- An assignment of its own, for the reason at the top of 03_hmac.sql.
  sealed := encode(behalf.hmac(secret.inner_block, secret.outer_block,
    int4send(pg_backend_pid()) || timestamptz_send(now()) || convert_to(sealed, 'UTF8')), 'hex') || sealed;
  perform set_config('behalf.seal', sealed, true);
  if call_id is not null then
    perform set_config('application_name', 'behalf/' || call_id, true);
  end if;
  if timeout_ms is not null then
    perform set_config('statement_timeout', greatest(timeout_ms, 1)::text, true);
  end if;
  expires_at := (payload ->> 'exp')::double precision;
  role := payload ->> 'role';
  write_role := payload ->> 'write';
  statement_role := payload ->> 'statement';
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

-- The sealed payload, or NULL: no seal, a forged one, one of another transaction. An expired one is an
-- error and not NULL, because half a result would look like a whole one.
create or replace function behalf.sealed() returns jsonb
language plpgsql stable parallel restricted
set search_path = pg_catalog, pg_temp
as $$
declare
  seal text := current_setting('behalf.seal', true);
  body text := substr(seal, 65);
  inner_block bytea;
  outer_block bytea;
  payload jsonb;
begin
  if seal is null or body = '' then
    return null;
  end if;
  select s.inner_block, s.outer_block into strict inner_block, outer_block from behalf.secrets s
  where s.purpose = 'seal' order by s.id desc limit 1;
  if (sha256(convert_to(left(seal, 64), 'UTF8')) = sha256(convert_to(encode(
       sha256(outer_block || sha256(inner_block
         || int4send(pg_backend_pid()) || timestamptz_send(now()) || convert_to(body, 'UTF8'))),
       'hex'), 'UTF8'))) is not true then
    return null;
  end if;
  payload := body::jsonb;
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
