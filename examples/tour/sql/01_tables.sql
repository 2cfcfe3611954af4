-- Six tables of a shop system that four companies share. Every key begins with the company (org_id):
-- so every index begins with the column that policies compare, and no foreign key can tell one company
-- whether a row of another one exists.
-- Foreign keys and indexes follow in 03_keys.sql: behind the data they are built in one pass.

create table organisations (
  org_id text primary key,
  name text not null
);

create table employees (
  org_id text not null,
  id integer not null,
  -- Who this is at the OpenID provider (`sub`), for those who sign in.
  subject text unique,
  name text not null,
  email text not null,
  job text not null check (job in ('manager', 'sales', 'support', 'accounts', 'warehouse')),
  primary key (org_id, id)
);

create table customers (
  org_id text not null,
  id integer not null,
  -- The employee who looks after this customer.
  rep_id integer not null,
  name text not null,
  email text not null,
  country text not null,
  primary key (org_id, id)
);

create table products (
  org_id text not null,
  id integer not null,
  name text not null,
  unit_price numeric(10, 2) not null,
  unit_cost numeric(10, 2) not null,
  primary key (org_id, id)
);

create table orders (
  org_id text not null,
  id integer not null,
  -- What stands on the delivery note.
  reference text not null,
  customer_id integer not null,
  product_id integer not null,
  quantity integer not null check (quantity > 0),
  unit_price numeric(10, 2) not null,
  total numeric(12, 2) not null generated always as (quantity * unit_price) stored,
  status text not null check (status in ('open', 'shipped', 'delivered', 'cancelled')),
  placed_at timestamptz not null,
  primary key (org_id, id)
);

create table invoices (
  org_id text not null,
  id integer not null,
  order_id integer not null,
  amount numeric(12, 2) not null,
  due_on date not null,
  paid_on date,
  primary key (org_id, id)
);
