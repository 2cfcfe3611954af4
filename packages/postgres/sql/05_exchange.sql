-- Proof of the human, once per token: the issuer's own JWT (RFC 9068) becomes a ticket of this database.

-- One place for refusals. SQLSTATE class ZB is Behalf's own; DETAIL holds the machine-readable reason.
create or replace function behalf.refuse(code text, reason text, message text, advice text) returns void
language plpgsql immutable parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using errcode = code, message = 'behalf: ' || message, detail = reason, hint = advice;
end
$$;

-- Verifies an access token and returns its claims.
create or replace function behalf.verify(token text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  parts text[];
  header jsonb;
  claims jsonb;
  key behalf.issuer_keys;
  wanted behalf.settings;
  moment numeric := extract(epoch from clock_timestamp());
  actor jsonb;
  depth integer := 0;
begin
  if token is null or token = '' then
    perform behalf.refuse('ZB001', 'missing', 'no token', 'Send the human''s access token.');
  end if;
  -- 16 KiB: tokens with hundreds of groups stay below 8; more is an attack on the parser.
  if octet_length(token) > 16384 then
    perform behalf.refuse('ZB001', 'too_large', 'the token is larger than 16 KiB', 'Ask the issuer for fewer claims.');
  end if;
  parts := string_to_array(token, '.');
  if cardinality(parts) <> 3 then
    perform behalf.refuse('ZB001', 'malformed', 'this is no signed JWT', 'Send an RFC 9068 access token.');
  end if;
  begin
    header := convert_from(behalf.base64url(parts[1]), 'UTF8')::jsonb;
    claims := convert_from(behalf.base64url(parts[2]), 'UTF8')::jsonb;
  exception when others then
    header := null;
  end;
  -- Not `jsonb_typeof(header) <> 'object'`: NULL must refuse, too.
  if jsonb_typeof(header) is distinct from 'object' or jsonb_typeof(claims) is distinct from 'object' then
    perform behalf.refuse('ZB001', 'malformed', 'this is no signed JWT', 'Send an RFC 9068 access token.');
  end if;
  if header ->> 'alg' is distinct from 'RS256' then
    perform behalf.refuse('ZB001', 'algorithm', 'the token is not signed with RS256', 'Let the issuer sign access tokens for this database with RS256.');
  end if;
  if lower(header ->> 'typ') is null or lower(header ->> 'typ') not in ('at+jwt', 'application/at+jwt') then
    perform behalf.refuse('ZB001', 'type', 'the token is no access token (typ at+jwt)', 'An ID token or a logout token proves nothing here.');
  end if;
  if header ? 'crit' then
    perform behalf.refuse('ZB001', 'critical_header', 'the token names a critical header that is not known here', 'Let the issuer leave crit out.');
  end if;

  -- The issuer and the key id only choose the key; nothing of the claims counts before the signature holds.
  select k.* into key from behalf.issuer_keys k
  where k.issuer = claims ->> 'iss' and jsonb_typeof(claims -> 'iss') = 'string'
    and k.kid = header ->> 'kid' and jsonb_typeof(header -> 'kid') = 'string';
  if not found then
    if jsonb_typeof(claims -> 'iss') is distinct from 'string' or not exists (select from behalf.issuers i where i.issuer = claims ->> 'iss') then
      perform behalf.refuse('ZB001', 'issuer', 'the issuer is not known to this database', 'See behalf.add_issuer().');
    end if;
    perform behalf.refuse('ZB001', 'unknown_key', 'the token is signed with a key that this database does not know', 'Synchronise the issuer''s keys: behalf.put_keys().');
  end if;
  if behalf.rs256(key.modulus, key.exponent, key.octets, key.padding,
       convert_to(parts[1] || '.' || parts[2], 'UTF8'), behalf.base64url(parts[3])) is not true then
    perform behalf.refuse('ZB001', 'signature', 'the token''s signature is wrong', 'Do not alter tokens.');
  end if;

  select s.* into strict wanted from behalf.settings s;
  if wanted.audience is null then
    perform behalf.refuse('ZB007', 'audience', 'this database has no audience yet', 'Run behalf.set_audience().');
  end if;
  if (claims -> 'aud' @> to_jsonb(wanted.audience)) is not true
     or jsonb_typeof(claims -> 'aud') not in ('string', 'array') then
    perform behalf.refuse('ZB001', 'audience', 'the token is meant for somebody else', 'Exchange it for one whose audience is this database.');
  end if;
  if jsonb_typeof(claims -> 'exp') is distinct from 'number'
     or jsonb_typeof(claims -> 'iat') is distinct from 'number'
     or (claims ? 'nbf' and jsonb_typeof(claims -> 'nbf') is distinct from 'number')
     or jsonb_typeof(claims -> 'sub') is distinct from 'string'
     or jsonb_typeof(claims -> 'client_id') is distinct from 'string'
     or jsonb_typeof(claims -> 'jti') is distinct from 'string'
     or claims ->> 'sub' = '' or length(claims ->> 'sub') > 512 then
    perform behalf.refuse('ZB001', 'required_claim', 'the token lacks a claim that RFC 9068 requires (exp, iat, sub, client_id, jti), or has it in another form', 'Let the issuer follow RFC 9068.');
  end if;
  -- A number like 1e9999 is short in a token and long in everything that is made of it.
  if octet_length(claims::text) > 32768 then
    perform behalf.refuse('ZB001', 'too_large', 'the token''s claims are larger than 32 KiB', 'Ask the issuer for fewer claims.');
  end if;
  if (claims ->> 'exp')::numeric <= moment then
    perform behalf.refuse('ZB002', 'expired', 'the token has expired', 'Refresh it.');
  end if;
  if (claims ->> 'iat')::numeric > moment + wanted.leeway_seconds
     or (claims ? 'nbf' and (claims ->> 'nbf')::numeric > moment + wanted.leeway_seconds) then
    perform behalf.refuse('ZB006', 'not_yet_valid', 'the token is not valid yet', 'Compare the clocks of the issuer and of this server.');
  end if;

  actor := claims -> 'act';
  while actor is not null loop
    depth := depth + 1;
    if depth > 8 or jsonb_typeof(actor) <> 'object'
       or jsonb_typeof(actor -> 'sub') is distinct from 'string'
       or actor ->> 'sub' = '' or length(actor ->> 'sub') > 512 then
      perform behalf.refuse('ZB001', 'act', 'the token''s chain of actors is malformed or longer than 8', 'See RFC 8693, section 4.1.');
    end if;
    actor := actor -> 'act';
  end loop;
  -- Who is named as a possible actor must also be the one who acts: a plain exchange that forgot the
  -- actor would otherwise read as the human alone.
  if claims ? 'may_act' and (
       (claims -> 'act' ->> 'sub' = claims -> 'may_act' ->> 'sub') is not true
       or (claims -> 'may_act' ? 'iss' and (claims -> 'act' ->> 'iss' = claims -> 'may_act' ->> 'iss') is not true)) then
    perform behalf.refuse('ZB001', 'may_act', 'the token says who may act, and that is not who acts', 'Exchange it with the actor''s token.');
  end if;
  return claims;
end
$$;

-- The role that this human's agents run as.
create or replace function behalf.role_of(claims jsonb) returns name
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select m.role
  from behalf.role_map m
  where m.issuer = claims ->> 'iss'
    and case jsonb_typeof(claims -> m.claim)
      when 'array' then claims -> m.claim ? m.value
      when 'object' then false
      else claims ->> m.claim = m.value
    end
  order by m.position, m.claim, m.value
  limit 1
$$;

-- Keys, roles and revocations are read through the caller's snapshot. One that is kept would bring back what
-- has been withdrawn since: the next statement must see what a DBA did a moment ago.
create or replace function behalf.refuse_old_snapshot() returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform behalf.refuse('ZB007', 'isolation', 'this transaction keeps its snapshot', 'Begin with ISOLATION LEVEL READ COMMITTED.');
end
$$;

-- Verifies the token and makes a ticket: 'bt1.' || HMAC || '.' || payload. The ticket is good on every
-- connection of the login that asked for it, on primaries and on standbys, and for nobody else.
create or replace function behalf.make_ticket(token text, out ticket text, out payload jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := behalf.verify(token);
  agent name := behalf.role_of(claims);
  secret behalf.secrets;
  moment numeric := extract(epoch from clock_timestamp());
begin
  if agent is null then
    perform behalf.refuse('ZB005', 'no_role', 'no agent role fits this human', 'Add a row with behalf.map_role(issuer, claim, value, role).');
  end if;
  select s.* into strict secret from behalf.secrets s
  where s.purpose = 'ticket' order by s.id desc limit 1;
  payload := jsonb_build_object(
    'key', secret.id,
    'login', session_user,
    'role', agent,
    'exp', least((claims ->> 'exp')::numeric, moment + (select ticket_seconds from behalf.settings)),
    'claims', claims);
  -- The roles beside it: `write` and `statement`, where a DBA prepared them.
  payload := payload || coalesce(
    (select jsonb_object_agg(c.mode, c.role) from behalf.companion_roles c where c.agent = payload ->> 'role'), '{}');
  -- A login for statements sets role and search_path from what start() says, without another question.
  payload := payload || jsonb_build_object('path', (
    select behalf.quoted_path(a.search_path) || ', pg_temp' from behalf.agent_roles a where a.role = payload ->> 'role'));
  if not payload ? 'statement'
     and exists (select from behalf.gateways g where g.login = session_user and g.kind = 'statement') then
    perform behalf.refuse('ZB005', 'no_statement_role', 'no statement role stands beside this human''s agent role', 'A DBA adds one with behalf.add_statement_role(agent role, statement role).');
  end if;
  ticket := payload::text;
  ticket := 'bt1.'
    || encode(behalf.hmac(secret.inner_block, secret.outer_block, convert_to(ticket, 'UTF8')), 'hex')
    || '.' || ticket;
end
$$;

-- The payload of a ticket, after all checks.
create or replace function behalf.read_ticket(ticket text) returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  mac text := substr(ticket, 5, 64);
  body text := substr(ticket, 70);
  payload jsonb;
  secret behalf.secrets;
begin
  -- What verify() lets pass makes tickets of less than 36 KiB.
  if octet_length(ticket) > 65536 then
    perform behalf.refuse('ZB008', 'ticket', 'this ticket is not, or no longer, one of this database', 'Prove the human again with the access token.');
  end if;
  begin
    payload := body::jsonb;
    select s.* into strict secret from behalf.secrets s
    where s.purpose = 'ticket' and s.id = (payload ->> 'key')::integer;
  exception when others then
    perform behalf.refuse('ZB008', 'ticket', 'this ticket is not, or no longer, one of this database', 'Prove the human again with the access token.');
  end;
  -- Hashed before they are compared, so that the time of the comparison says nothing about the MAC.
  if (sha256(convert_to(mac, 'UTF8')) = sha256(convert_to(
       encode(behalf.hmac(secret.inner_block, secret.outer_block, convert_to(body, 'UTF8')), 'hex'), 'UTF8'))) is not true then
    perform behalf.refuse('ZB008', 'ticket', 'this ticket is not, or no longer, one of this database', 'Prove the human again with the access token.');
  end if;
  if (payload ->> 'login' = session_user) is not true then
    perform behalf.refuse('ZB008', 'ticket', 'this ticket belongs to another login', 'Prove the human again with the access token.');
  end if;
  if ((payload ->> 'exp')::numeric > extract(epoch from clock_timestamp())) is not true then
    perform behalf.refuse('ZB008', 'ticket_expired', 'this ticket has expired', 'Prove the human again with the access token.');
  end if;
  return payload;
end
$$;

-- For callers that want the ticket without starting a call.
create or replace function behalf.exchange(token text, out ticket text, out expires_at double precision, out role name)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  made record;
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    perform behalf.refuse_old_snapshot();
  end if;
  select * into made from behalf.make_ticket(token);
  ticket := made.ticket;
  expires_at := (made.payload ->> 'exp')::double precision;
  role := made.payload ->> 'role';
end
$$;
