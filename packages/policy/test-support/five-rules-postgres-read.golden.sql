create schema if not exists behalf_policy;
grant usage on schema behalf_policy to behalf_agents;

create function behalf_policy."team_of_caller"() returns text[]
language sql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp
as $behalf$
  with recursive up (id) as (
    select m."team"::text from "public"."team_members" m where m."member"::text = (select case jsonb_typeof(c -> 'sub') when 'string' then c -> 'sub' #>> '{}' end from behalf.claims() c)
    union
    select h."parent"::text from up join "public"."teams" h on h."id"::text = up.id where h."parent" is not null
  )
  select coalesce(array_agg(up.id), '{}') from up
$behalf$;

create function behalf_policy."team_below"(top text) returns text[]
language sql stable security definer parallel restricted
set search_path = pg_catalog, pg_temp strict
as $behalf$
  with recursive down (id) as (
    select top
    union
    select h."id"::text from down join "public"."teams" h on h."parent"::text = down.id
  )
  select array_agg(down.id) from down
$behalf$;

revoke all on all functions in schema behalf_policy from public;
grant execute on all functions in schema behalf_policy to behalf_agents;

create policy "cedar_owner_read" on "public"."notes" for select to behalf_agents
  using ((select behalf.allows('"public"."notes"'::regclass, 'read', current_user) and behalf.claim('iss') = 'https://login.example.com')
    and "owner_sub" = (select case jsonb_typeof(c -> 'sub') when 'string' then c -> 'sub' #>> '{}' end from behalf.claims() c));

create policy "cedar_tenant_read" on "public"."orders" for select to behalf_agents
  using ((select behalf.allows('"public"."orders"'::regclass, 'read', current_user) and behalf.claim('iss') = 'https://login.example.com')
    and (((select case jsonb_typeof(c -> 'org_id') when 'string' then c -> 'org_id' #>> '{}' end from behalf.claims() c) is not null and "org_id" is not null) and "org_id" = (select case jsonb_typeof(c -> 'org_id') when 'string' then c -> 'org_id' #>> '{}' end from behalf.claims() c))
    and ((((select case jsonb_typeof(c -> 'spend_limit') when 'number' then case when (c -> 'spend_limit')::numeric % 1 = 0 and (c -> 'spend_limit')::numeric between -9223372036854775808 and 9223372036854775807 then (c -> 'spend_limit')::numeric end end from behalf.claims() c) is not null and "amount" is not null) and (select case jsonb_typeof(c -> 'spend_limit') when 'number' then case when (c -> 'spend_limit')::numeric % 1 = 0 and (c -> 'spend_limit')::numeric between -9223372036854775808 and 9223372036854775807 then (c -> 'spend_limit')::numeric end end from behalf.claims() c) < (case when ("amount"::numeric * '100'::int8::numeric) between -9223372036854775808 and 9223372036854775807 then ("amount"::numeric * '100'::int8::numeric) end))) is not true);

create policy "cedar_team_or_owner_read" on "public"."files" for select to behalf_agents
  using ((select behalf.allows('"public"."files"'::regclass, 'read', current_user) and behalf.claim('iss') = 'https://login.example.com')
    and (((select 'auditors'::text = any (behalf_policy."team_of_caller"())) or "owner_sub" = (select case jsonb_typeof(c -> 'sub') when 'string' then c -> 'sub' #>> '{}' end from behalf.claims() c)) or (((select 'auditors'::text <> all (behalf_policy."team_of_caller"())) and "owner_sub" <> (select case jsonb_typeof(c -> 'sub') when 'string' then c -> 'sub' #>> '{}' end from behalf.claims() c)) and ("team_id" is not null and "team_id" = any ((select behalf_policy."team_of_caller"())::text[]))))
    and ((("team_id" = any ((select behalf_policy."team_below"('archive'::text))::text[])) and (select 'auditors'::text <> all (behalf_policy."team_of_caller"())))) is not true);

create policy "cedar_labelled_read" on "public"."messages" for select to behalf_agents
  using ((select behalf.allows('"public"."messages"'::regclass, 'read', current_user) and behalf.claim('iss') = 'https://login.example.com')
    and (("labels" @> array['public'::text] or (('public'::text is not null and 'public'::text <> all (array_remove("labels", null))) and ((select case jsonb_typeof(c -> 'topics') when 'array' then case when not jsonb_path_exists(c -> 'topics', 'strict $[*] ? (@.type() != "string")') then array(select jsonb_array_elements_text(c -> 'topics')) end end from behalf.claims() c)::text[] is not null and "labels" && (select case jsonb_typeof(c -> 'topics') when 'array' then case when not jsonb_path_exists(c -> 'topics', 'strict $[*] ? (@.type() != "string")') then array(select jsonb_array_elements_text(c -> 'topics')) end end from behalf.claims() c)::text[]))) or ((('public'::text is not null and 'public'::text <> all (array_remove("labels", null))) and ((select case jsonb_typeof(c -> 'topics') when 'array' then case when not jsonb_path_exists(c -> 'topics', 'strict $[*] ? (@.type() != "string")') then array(select jsonb_array_elements_text(c -> 'topics')) end end from behalf.claims() c)::text[] is null or not ("labels" && (select case jsonb_typeof(c -> 'topics') when 'array' then case when not jsonb_path_exists(c -> 'topics', 'strict $[*] ? (@.type() != "string")') then array(select jsonb_array_elements_text(c -> 'topics')) end end from behalf.claims() c)::text[]))) and ("title" is not null and "title" like E'100\\%\\_*:%'))));

create policy "cedar_same_house_read" on "public"."tickets" for select to behalf_agents
  using ((select behalf.allows('"public"."tickets"'::regclass, 'read', current_user) and behalf.claim('iss') = 'https://login.example.com')
    and (select case jsonb_typeof(c -> 'org_id') when 'string' then c -> 'org_id' #>> '{}' end from behalf.claims() c) is not null);