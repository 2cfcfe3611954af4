import type pg from "pg";

/** Who was there before Behalf. */
export const APPLICATION_ROLES = [
  "app_owner",
  "app_support",
  "app_reporting",
  "app_backup",
  "app_stranger",
] as const;
export type ApplicationRole = (typeof APPLICATION_ROLES)[number];

/** Roles of the server, made by a superuser. */
export const applicationRoles = (password: string) => `
  create role app_owner login password '${password}';
  create role app_support login password '${password}';
  create role app_reporting login password '${password}';
  create role app_backup login bypassrls password '${password}';
  create role app_stranger login password '${password}';
`;

/**
 * A shop as its owner made it, who is neither superuser nor DBA: tables with and without row level security,
 * one whose owner is bound by it, too, partitions, triggers, views of both kinds, and policies of its own.
 */
export const APPLICATION = `
  create schema shop authorization app_owner;
  set session authorization app_owner;
  set search_path = shop;
  alter default privileges in schema shop grant select on tables to app_reporting, app_backup;
  grant usage on schema shop to app_support, app_reporting, app_backup;

  create domain email as text check (value ~ '@');
  create type state as enum ('open', 'paid');
  create table countries (code text primary key, name text not null);
  create table customers (
    id int generated always as identity primary key, org_id text not null,
    name text not null, mail email unique, country text references countries
  );
  create sequence invoice_numbers;
  create table orders (
    id bigserial primary key, customer_id int not null references customers on delete cascade,
    org_id text not null, total numeric(12, 2) check (total >= 0), state state not null default 'open',
    invoice bigint, label text generated always as (org_id || '-' || customer_id) stored
  );
  create index on orders (org_id);
  create table events (at date not null, org_id text not null, body jsonb) partition by range (at);
  create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01');
  create table events_rest partition of events default;
  alter table events_2026 replica identity full;
  alter table events_rest replica identity full;
  create table audit (id int generated always as identity primary key, what text not null);
  create table ledger (id int primary key, org_id text not null, amount int not null);

  create function log_order() returns trigger language plpgsql security definer set search_path = shop as $$
  begin
    insert into audit (what) values (tg_op || ' ' || coalesce(new.id, old.id) || ' ' || coalesce(new.org_id, old.org_id));
    if tg_op <> 'DELETE' and new.total > 1000 then raise exception 'too much' using errcode = 'P0001'; end if;
    return coalesce(new, old);
  end $$;
  create trigger log_order after insert or update or delete on orders for each row execute function log_order();
  create function total_of(org text) returns numeric language sql stable set search_path = shop as
    'select sum(total) from orders where org_id = org';
  create view order_totals as select org_id, sum(total) as total from orders group by org_id;
  create view own_orders with (security_invoker = true) as select id, org_id, total from orders;
  create materialized view daily as select at, count(*) as n from events group by at;

  insert into countries values ('fr', 'France'), ('de', 'Germany');
  insert into customers (org_id, name, mail, country) values
    ('acme', 'Ann', 'ann@example.test', 'fr'), ('globex', 'Ben', 'ben@example.test', 'de'), ('acme', 'Cid', null, null);
  insert into orders (customer_id, org_id, total, invoice) values
    (1, 'acme', 10, nextval('invoice_numbers')), (1, 'acme', 20.5, null), (2, 'globex', 30, nextval('invoice_numbers'));
  insert into events values ('2026-02-03', 'acme', '{"a": 1}'), ('2025-01-01', 'globex', '[1, 2]');
  insert into ledger values (1, 'acme', 100), (2, 'globex', 200);
  refresh materialized view daily;

  alter table customers enable row level security;
  alter table orders enable row level security;
  alter table events enable row level security;
  alter table ledger enable row level security;
  alter table ledger force row level security;
  create policy support_customers on customers to app_support using (org_id = 'acme');
  create policy support_orders on orders to app_support using (org_id = 'acme') with check (org_id = 'acme' and total < 500);
  create policy support_no_paid on orders as restrictive for update to app_support using (state <> 'paid');
  create policy support_events on events to app_support using (org_id = 'acme');
  create policy reporting on customers for select to app_reporting using (true);
  create policy reporting on orders for select to app_reporting using (true);
  create policy reporting on events for select to app_reporting using (true);
  create policy owner_ledger on ledger to app_owner using (org_id = 'acme');
  grant select, insert, update, delete on customers, orders, events to app_support;
  grant usage on sequence orders_id_seq, invoice_numbers to app_support;
  grant select on countries, order_totals, own_orders, daily to app_support;
  reset session authorization;
  reset search_path;
`;

const READS = [
  "select * from countries order by 1",
  "select * from customers order by 1",
  "select * from orders order by 1",
  "select * from events order by 1",
  "select * from events_2026 order by 1",
  "select what from audit order by 1",
  "select * from ledger order by 1",
  "select * from order_totals order by 1",
  "select * from own_orders order by 1",
  "select * from daily order by 1",
  "select total_of('acme'), total_of('globex')",
  "select o.id, c.name from orders o join customers c on c.id = o.customer_id order by 1",
  "select last_value, is_called from invoice_numbers",
];

const WRITES = [
  "insert into orders (customer_id, org_id, total) values (1, 'acme', 7) returning customer_id, org_id, total, state, label",
  "insert into orders (customer_id, org_id, total) values (2, 'globex', 7) returning org_id",
  "insert into orders (customer_id, org_id, total) values (1, 'acme', 700) returning org_id",
  "insert into orders (customer_id, org_id, total) values (1, 'acme', 7000) returning org_id",
  "insert into orders (customer_id, org_id, total) values (99, 'acme', 1) returning org_id",
  "insert into orders (customer_id, org_id, total) values (1, 'acme', -1) returning org_id",
  "update orders set total = total + 1 returning id, org_id, total",
  "update orders set state = 'paid' where id = 1 returning id; update orders set total = 1 where id = 1 returning id",
  "update customers set org_id = 'globex' where id = 1 returning id",
  "delete from customers returning id, name",
  "insert into customers (org_id, name, mail) values ('acme', 'Dee', 'ann@example.test') returning name",
  "insert into customers (org_id, name, mail) values ('acme', 'Dee', 'no mail') returning name",
  "insert into customers (org_id, name, mail) values ('acme', 'Dee', 'ann@example.test') on conflict (mail) do update set name = excluded.name returning id, name",
  "insert into events values ('2026-05-05', 'acme', null) returning *",
  "insert into events values ('2026-05-05', 'globex', null) returning *",
  "update events set at = '2025-06-06' returning *",
  "update ledger set amount = 1 returning *",
  "truncate orders",
  "refresh materialized view daily",
];

/** As pg_dump reads: everything, or an error. */
const DUMPS = [
  "set local row_security = off; select * from orders order by 1",
  "set local row_security = off; select * from events order by 1",
  "set local row_security = off; select * from ledger order by 1",
];

const CATALOGUES = [
  "select relname from pg_class where relnamespace = 'shop'::regnamespace order by 1",
  "select table_name, column_name, data_type from information_schema.columns where table_schema = 'shop' order by 1, 2",
  "select table_schema, table_name from information_schema.tables where table_schema not in ('pg_catalog', 'information_schema') order by 1, 2",
  "show search_path",
  "select current_user, session_user, current_setting('TimeZone')",
];

/** What one role of the application sees and can write, with every refusal. Nothing of it stays. */
export async function probes(client: pg.Client): Promise<readonly string[]> {
  const lines: string[] = [];
  for (const text of [...READS, ...WRITES, ...DUMPS, ...CATALOGUES]) {
    await client.query("begin; set local search_path = shop");
    try {
      const answered: unknown = await client.query({ text, rowMode: "array" } as pg.QueryConfig);
      const answers = (Array.isArray(answered) ? answered : [answered]) as pg.QueryResult[];
      lines.push(
        `${text}: ${answers.map(({ command, rowCount, rows }) => JSON.stringify([command, rowCount, rows])).join(" ")}`,
      );
    } catch (error) {
      const { code, message } = error as pg.DatabaseError;
      lines.push(`${text}: ${code} ${message}`);
    } finally {
      await client.query("rollback");
    }
  }
  return lines;
}
