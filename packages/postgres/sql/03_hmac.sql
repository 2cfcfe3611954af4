-- HMAC-SHA-256 (RFC 2104, FIPS 198-1) from the server's own sha256(), with blocks computed once per key.
--
-- Keys, and MACs that a caller must not learn, go through simple expressions of PL/pgSQL and through nothing
-- else. Anybody may set debug_print_plan and client_min_messages, and the server then sends him the plan of
-- every statement inside these functions, with parameters as constants: a SQL-language function (from 18 on)
-- or a PERFORM here would show the MAC of whatever the caller made up. Simple expressions are planned without
-- their parameters.

create or replace function behalf.xor_block(key bytea, pad integer) returns bytea
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  -- A key longer than the block is hashed first, a shorter one is filled with zeros.
  block bytea := case when length(key) > 64 then sha256(key) else key end;
begin
  block := block || decode(repeat('00', 64 - length(block)), 'hex');
  for i in 0 .. 63 loop
    block := set_byte(block, i, get_byte(block, i) # pad);
  end loop;
  return block;
end
$$;

create or replace function behalf.hmac(inner_block bytea, outer_block bytea, message bytea) returns bytea
language plpgsql immutable strict parallel safe
set search_path = pg_catalog, pg_temp
as $$
begin
  return sha256(outer_block || sha256(inner_block || message));
end
$$;

-- Makes a new key for one purpose. 4 UUIDs of version 4 hold 488 bits from the server's strong random
-- source, hashed to 256.
create or replace function behalf.new_secret(for_purpose text) returns integer
language plpgsql volatile strict
set search_path = pg_catalog, pg_temp
as $$
declare
  key bytea := sha256(
    uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
    || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()));
  made integer;
begin
  insert into behalf.secrets (purpose, inner_block, outer_block)
  values (for_purpose, behalf.xor_block(key, 54), behalf.xor_block(key, 92)) -- 0x36, 0x5c
  returning id into made;
  return made;
end
$$;

do $$
begin
  if not exists (select from behalf.secrets where purpose = 'seal') then
    perform behalf.new_secret('seal');
  end if;
  if not exists (select from behalf.secrets where purpose = 'ticket') then
    perform behalf.new_secret('ticket');
  end if;
end
$$;
