-- Who may see what through an agent, written by hand. Run it after the kit (packages/postgres/sql), as
-- who installed the kit. Before it: set shop.issuer = 'https://login.example.com';

-- 1. Whom this database believes. The issuer's keys come later, from the key synchronisation.
select behalf.set_audience('urn:shop:database');
select behalf.add_issuer(current_setting('shop.issuer'));

-- 2. Agents' roles, one for each job. The token's claim `job` decides, here and not in the gateway.
select behalf.add_agent_role(role)
from unnest(array['agent_manager', 'agent_sales', 'agent_support', 'agent_accounts']) role;

select behalf.map_role(current_setting('shop.issuer'), 'job', job, role)
from (values
  ('manager', 'agent_manager'), ('sales', 'agent_sales'),
  ('support', 'agent_support'), ('accounts', 'agent_accounts')
) as map (job, role);

-- Texts that write run as a role of their own, and so do the statements of the gateway's author. Neither
-- inherits a grant of the agent role, so that each can do no more than what is written below.
select behalf.add_write_role('agent_manager', 'manager_writer');
select behalf.add_statement_role('agent_' || job, job || '_statements')
from unnest(array['manager', 'sales', 'support', 'accounts']) job;

-- 3. Columns, by grants: sales sees no costs, support sees no money at all.
grant select on organisations to behalf_agents;
grant select (org_id, id, name, job) on employees to behalf_agents;
grant select on customers to behalf_agents;
grant select on employees, products, orders, invoices to agent_manager;
grant select (org_id, id, name, unit_price) on products to agent_sales;
grant select on orders, invoices to agent_sales;
grant select (org_id, id, name) on products to agent_support;
grant select (org_id, id, reference, customer_id, product_id, quantity, status, placed_at) on orders to agent_support;
grant select on products, orders, invoices to agent_accounts;
-- Managers' agents may change the status of an order, and nothing else of it.
grant select, update (status) on orders to manager_writer;
-- What the author's tool reads (src/author-tool.ts), and what the policies below compare.
grant select (org_id, customer_id, status, placed_at) on orders
  to manager_statements, sales_statements, support_statements, accounts_statements;

-- 4. Rows. One permissive policy for each table draws the border between companies, for all agents.
-- `(select ...)` makes PostgreSQL ask for the claim once per statement, so that the index is used.
alter table organisations enable row level security;
alter table employees enable row level security;
alter table customers enable row level security;
alter table products enable row level security;
alter table orders enable row level security;
alter table invoices enable row level security;

create policy agents_own_company on organisations for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
create policy agents_own_company on employees for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
create policy agents_own_company on customers for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
create policy agents_own_company on products for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
create policy agents_own_company on orders for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));
create policy agents_own_company on invoices for select to behalf_agents
  using (org_id = (select behalf.claim('org_id')));

create policy managers_change on orders for update to manager_writer
  using (org_id = (select behalf.claim('org_id')));

-- 5. Fewer rows for some jobs. Restrictive: whatever is written here can take rows away, never add any.
-- Each names every role of the job: what an agent's text is not shown, the author's tool does not show.
-- Sales: one's own customers, and what belongs to them.
create policy sales_own_customers on customers as restrictive for select to agent_sales, sales_statements
  using (rep_id = (select behalf.claim('employee_id')::integer));
create policy sales_own_customers on orders as restrictive for select to agent_sales, sales_statements
  using (customer_id in (select id from customers));
create policy sales_own_customers on invoices as restrictive for select to agent_sales, sales_statements
  using (order_id in (select id from orders));

-- Support: the last 90 days, and nothing of invoices (no grant above).
create policy support_recent on orders as restrictive for select to agent_support, support_statements
  using (placed_at >= current_date - 90);

-- 6. The guard: a proved human, whose role is the one that runs, within the task if there is one.
select behalf.guard(relation)
from unnest(array['organisations', 'employees', 'customers', 'products', 'orders', 'invoices']::regclass[]) relation;

-- 7. The gateway's two logins: for agents' texts, and for its author's statements. Each may prove humans
-- and run what is theirs, and reads nothing itself.
select behalf.add_gateway('shop_gateway', writes => true);
select behalf.add_statement_gateway('shop_statements');
