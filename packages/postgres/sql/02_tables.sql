-- Notices of what an older version did not have would hide the ones that count. 99_grants.sql lets them in again.
set local client_min_messages = warning;

-- What the kit knows. Only behalf_owner reads these tables; everybody else goes through functions.
create table if not exists behalf.settings (
  only_row boolean primary key default true check (only_row),
  -- JWT `aud` that names this database. Tokens for anything else are refused.
  audience text check (audience <> ''),
  -- Longest life of a ticket in seconds. It bounds how long a withdrawn key or role mapping is still honoured.
  ticket_seconds integer not null default 300 check (ticket_seconds between 5 and 3600),
  -- Tolerated difference of clocks in seconds, for `nbf` and `iat`. `exp` has none.
  leeway_seconds integer not null default 5 check (leeway_seconds between 0 and 60)
);

create table if not exists behalf.issuers (
  issuer text primary key check (issuer <> '' and length(issuer) <= 512)
);

-- Public keys of the issuers, as numbers, ready for RS256.
create table if not exists behalf.issuer_keys (
  issuer text not null references behalf.issuers on delete cascade,
  kid text not null check (length(kid) <= 512),
  modulus numeric not null,
  exponent integer not null,
  -- Length of the modulus, and so of a signature, in bytes.
  octets integer not null,
  -- EMSA-PKCS1-v1_5 without the hash: 00 01 ff .. ff 00 DigestInfo(SHA-256), times 2^256.
  padding numeric not null,
  added_at timestamptz not null default now(),
  primary key (issuer, kid)
);

-- Which role an agent's statements run as: the first row that fits, by position.
create table if not exists behalf.role_map (
  issuer text not null references behalf.issuers on delete cascade,
  -- A claim of the token. Its value is compared as text; a claim that is a list fits where one element does.
  claim text not null,
  value text not null,
  role name not null,
  position integer not null default 100,
  primary key (issuer, claim, value)
);

-- Roles that add_agent_role() prepared.
create table if not exists behalf.agent_roles (
  role name primary key,
  search_path text not null
);

-- The roles beside an agent role: what its agents' texts write as, and what an author's statements run as.
-- They are roles of their own with grants of their own: a role that owned the read sandbox, too, could call
-- one sandbox from the other, and a login that may become it could alter the sandbox.
create table if not exists behalf.companion_roles (
  agent name not null references behalf.agent_roles on delete cascade,
  mode text not null check (mode in ('write', 'statement')),
  role name not null unique,
  primary key (agent, mode)
);

-- Logins that add_gateway() and add_statement_gateway() prepared.
create table if not exists behalf.gateways (
  login name primary key
);
-- To add a column, also one that is there, takes the table from every call until the install ends; and a call
-- that has read another table would make a deadlock of it.
do $$
begin
  if not exists (select from pg_attribute where attrelid = 'behalf.gateways'::regclass and attname = 'writes' and not attisdropped) then
    -- `sandbox` runs agents' texts, `statement` runs an author's statements: never both.
    alter table behalf.gateways add column if not exists kind text not null default 'sandbox'
      check (kind in ('sandbox', 'statement'));
    -- Whether agents' texts may write through this login.
    alter table behalf.gateways add column if not exists writes boolean not null default false;
  end if;
  if not exists (select from pg_attribute where attrelid = 'behalf.settings'::regclass and attname = 'publishes_keys' and not attisdropped) then
    -- Whether a DBA lets a publication send the keys: see 00_publications.sql.
    alter table behalf.settings add column publishes_keys boolean not null default false;
  end if;
end
$$;

-- Relations that an agent role may read although no guard stands before them: reference data.
create table if not exists behalf.exposed (
  relation regclass primary key,
  reason text not null check (reason <> '')
);

-- What harden.sql changed, so that unharden.sql can give back exactly that: who could execute a function before
-- (`public` is everybody), and the logins that got a limit.
create table if not exists behalf.hardening (
  kind text not null check (kind in ('function', 'login')),
  object text not null,
  grantee text not null,
  grantable boolean not null,
  primary key (kind, object, grantee)
);

-- Tokens and tickets of this human that were issued before this instant are refused.
create table if not exists behalf.revocations (
  issuer text not null,
  subject text not null,
  not_before timestamptz not null,
  primary key (issuer, subject)
);

-- HMAC keys, made here, kept here, read by nobody but the functions of behalf_owner.
-- The key itself is not stored: only its two blocks, key xor ipad and key xor opad (RFC 2104).
create table if not exists behalf.secrets (
  purpose text not null check (purpose in ('seal', 'ticket')),
  id integer not null generated always as identity,
  inner_block bytea not null check (length(inner_block) = 64),
  outer_block bytea not null check (length(outer_block) = 64),
  created_at timestamptz not null default now(),
  primary key (purpose, id)
);

-- Row level security without a policy: pg_read_all_data may select from any table but does not
-- pass row level security, so its members see no key. A dump by such a role needs
-- --exclude-table-data=behalf.secrets; a superuser's dump holds the keys and must be kept like one.
do $$
begin
  if not (select relrowsecurity from pg_class where oid = 'behalf.secrets'::regclass) then
    alter table behalf.secrets enable row level security;
  end if;
end
$$;

insert into behalf.settings default values on conflict do nothing;
update behalf.settings set publishes_keys = true
where not publishes_keys and current_setting('behalf.all_tables_publication', true) = 'known';

comment on table behalf.secrets is 'Behalf: HMAC keys that exist only inside this database. Who reads them can be anybody.';
comment on table behalf.role_map is 'Behalf: issuer, claim, value -> the role that an agent''s statements run as.';
comment on table behalf.revocations is 'Behalf: humans whose earlier tokens and tickets are refused.';
