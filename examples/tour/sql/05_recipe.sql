-- The other side of the comparison: the same tables, for the usual recipe (src/recipe.ts).
-- Written as carefully as its guides say: policies for one role, claims read once per statement, a login
-- that owns nothing and inherits nothing, and no right to write for the agents' role.

create role app_agent nologin;
-- Back-office jobs of the application, behind the same pool: like `service_role` behind Supabase's `authenticator`.
create role app_service nologin bypassrls;
grant app_agent, app_service to recipe_login;

grant select on organisations, employees, customers, products, orders, invoices to app_agent;
grant select, insert, update, delete on organisations, employees, customers, products, orders, invoices to app_service;

create policy recipe_own_company on organisations for select to app_agent
  using (org_id = (select current_setting('request.jwt.claims', true)::jsonb ->> 'org_id'));
create policy recipe_own_company on employees for select to app_agent
  using (org_id = (select current_setting('request.jwt.claims', true)::jsonb ->> 'org_id'));
create policy recipe_own_company on customers for select to app_agent
  using (org_id = (select current_setting('request.jwt.claims', true)::jsonb ->> 'org_id'));
create policy recipe_own_company on products for select to app_agent
  using (org_id = (select current_setting('request.jwt.claims', true)::jsonb ->> 'org_id'));
create policy recipe_own_company on orders for select to app_agent
  using (org_id = (select current_setting('request.jwt.claims', true)::jsonb ->> 'org_id'));
create policy recipe_own_company on invoices for select to app_agent
  using (org_id = (select current_setting('request.jwt.claims', true)::jsonb ->> 'org_id'));

create policy recipe_sales_own_customers on customers as restrictive for select to app_agent
  using ((select current_setting('request.jwt.claims', true)::jsonb ->> 'job') <> 'sales'
    or rep_id = (select (current_setting('request.jwt.claims', true)::jsonb ->> 'employee_id')::integer));
create policy recipe_sales_own_customers on orders as restrictive for select to app_agent
  using ((select current_setting('request.jwt.claims', true)::jsonb ->> 'job') <> 'sales'
    or customer_id in (select id from customers));
create policy recipe_sales_own_customers on invoices as restrictive for select to app_agent
  using ((select current_setting('request.jwt.claims', true)::jsonb ->> 'job') <> 'sales'
    or order_id in (select id from orders));
