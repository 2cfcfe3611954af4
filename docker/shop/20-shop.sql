-- Runs once, after the kit, as a superuser: a shop of two organisations for trying Behalf out.
-- Plain SQL, so that tests run it over any connection. `behalf_demo.issuer` says who issues tokens.

create table orders (
  id bigint generated always as identity primary key,
  org_id text not null,
  product text not null,
  total numeric(12, 2) not null check (total >= 0),
  status text not null default 'open' check (status in ('open', 'shipped', 'cancelled')),
  placed_at timestamptz not null default now()
);
comment on table orders is 'What customers ordered, one row an order';
create index on orders (org_id, placed_at);
insert into orders (org_id, product, total, status, placed_at)
select org, product, i * 12.5, case when i % 4 = 0 then 'shipped' else 'open' end,
  timestamptz '2026-01-01 09:00:00Z' + i * interval '1 hour'
from (values ('acme', 'anvil'), ('globex', 'reactor')) as org_product (org, product),
  generate_series(1, 100) i;
analyze orders;

select behalf.set_audience('urn:behalf:demo:database');
select behalf.add_issuer(current_setting('behalf_demo.issuer'));

-- What statements run as: agents' reads, agents' writes, statements that stand in behalf.yaml.
select behalf.add_agent_role('shop_agent');
select behalf.add_write_role('shop_agent', 'shop_agent_writer');
select behalf.add_statement_role('shop_agent', 'shop_agent_statements');
select behalf.map_role(current_setting('behalf_demo.issuer'), 'org_id', org, 'shop_agent')
from (values ('acme'), ('globex')) as orgs (org);

grant select on orders to shop_agent;
grant select, insert, update on orders to shop_agent_writer;
grant select on orders to shop_agent_statements;

alter table orders enable row level security;
create policy agents_read on orders for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
create policy agents_create on orders for insert to behalf_agents
  with check (org_id = (select behalf.claim('org_id')));
create policy agents_update on orders for update to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
select behalf.guard('orders');

-- Logins. None has a password yet, so none can be used.
create role shop_gateway login noinherit;
create role shop_statements login noinherit;
create role shop_keysync login in role behalf_keysync;
select behalf.add_gateway('shop_gateway', writes => true);
select behalf.add_statement_gateway('shop_statements');

-- Tickets and tokens are bind parameters, and belong into no log.
alter role shop_gateway set log_parameter_max_length = 0;
alter role shop_gateway set log_parameter_max_length_on_error = 0;
alter role shop_statements set log_parameter_max_length = 0;
alter role shop_statements set log_parameter_max_length_on_error = 0;
