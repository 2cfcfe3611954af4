-- Foreign keys carry the company: an order of one company cannot name a customer of another.
alter table employees add foreign key (org_id) references organisations;
alter table customers add foreign key (org_id) references organisations;
alter table customers add foreign key (org_id, rep_id) references employees;
alter table products add foreign key (org_id) references organisations;
alter table orders add foreign key (org_id, customer_id) references customers;
alter table orders add foreign key (org_id, product_id) references products;
alter table invoices add foreign key (org_id, order_id) references orders;

-- Each begins with the column that the policies compare.
create index on customers (org_id, rep_id);
create index on orders (org_id, customer_id);
create index on orders (org_id, placed_at);
create unique index on invoices (org_id, order_id);

analyze organisations, employees, customers, products, orders, invoices;
