-- The same rows in every run, seen from the day of the run: 24 employees, 500 customers, 48 products,
-- 100,000 orders of two years and their invoices.

-- A number from 0 to 1 that depends on nothing but its arguments. random() with a seed gives other
-- numbers in other versions of PostgreSQL.
create function pg_temp.draw(row_number bigint, what bigint) returns double precision
language sql immutable
return (hashint8extended(row_number, what) & 9007199254740991) / 9007199254740992.0::double precision;

insert into organisations values
  ('acme', 'Acme Tools'), ('globex', 'Globex Foods'), ('initech', 'Initech Paper'), ('hooli', 'Hooli Lighting');

insert into employees (org_id, id, subject, name, email, job)
select org_id, id, subject, name, lower(replace(name, ' ', '.')) || '@' || org_id || '.example', job
from (values
  ('acme', 1001, 'alice', 'Alice Moreau', 'manager'), ('acme', 1002, 'carol', 'Carol Haddad', 'support'),
  ('acme', 1003, null, 'Piotr Zielinski', 'sales'), ('acme', 1004, null, 'Ines Carvalho', 'sales'),
  ('acme', 1005, null, 'Tomasz Wrobel', 'sales'), ('acme', 1006, null, 'Lena Fischer', 'sales'),
  ('acme', 1007, null, 'Mehmet Aydin', 'accounts'), ('acme', 1008, null, 'Sofia Lindgren', 'warehouse'),
  ('globex', 2001, 'bob', 'Bob Okafor', 'sales'), ('globex', 2002, null, 'Hanna Virtanen', 'manager'),
  ('globex', 2003, null, 'Luca Bianchi', 'sales'), ('globex', 2004, null, 'Chloe Dupont', 'sales'),
  ('globex', 2005, null, 'Jonas Berg', 'sales'), ('globex', 2006, null, 'Marta Kowal', 'support'),
  ('globex', 2007, null, 'Yusuf Demir', 'accounts'),
  ('initech', 3001, 'dave', 'Dave Lindqvist', 'accounts'), ('initech', 3002, null, 'Greta Olsen', 'manager'),
  ('initech', 3003, null, 'Pablo Serrano', 'sales'), ('initech', 3004, null, 'Nadia Petrova', 'sales'),
  ('initech', 3005, null, 'Erik Holm', 'warehouse'),
  ('hooli', 4001, null, 'Aoife Byrne', 'manager'), ('hooli', 4002, null, 'Karel Novak', 'sales'),
  ('hooli', 4003, null, 'Elif Kaya', 'sales'), ('hooli', 4004, null, 'Oskar Lund', 'support')
) as person (org_id, id, subject, name, job);

-- Names are the 26 * 20 pairs in a shuffled order (239 and 520 have no common factor): each is one customer's.
insert into customers (org_id, id, rep_id, name, email, country)
select org.org_id, org.base + n, rep.ids[1 + floor(cardinality(rep.ids) * pg_temp.draw(org.base + n, 1))::integer],
  word.name, 'office@' || lower(replace(word.name, ' ', '-')) || '.example',
  (array['DE', 'DE', 'FR', 'FR', 'PL', 'NL', 'IT', 'SE', 'ES', 'AT'])[1 + floor(10 * pg_temp.draw(org.base + n, 2))::integer]
from (values ('acme', 10000, 200, 0), ('globex', 20000, 150, 200), ('initech', 30000, 100, 350), ('hooli', 40000, 50, 450))
    as org (org_id, base, customers, earlier)
  cross join generate_series(1, org.customers) n
  cross join lateral (select (org.earlier + n) * 239 % 520 as k) shuffled
  cross join lateral (select
    (array['Alder', 'Birch', 'Cedar', 'Dorset', 'Elbe', 'Fjord', 'Garda', 'Harbour', 'Isar', 'Juniper', 'Kestrel', 'Linden',
      'Meadow', 'Nordic', 'Osprey', 'Pilgrim', 'Quarry', 'Rhine', 'Saxon', 'Tidal', 'Ullswater', 'Vistula', 'Wharf',
      'Xenia', 'Yarrow', 'Zenith'])[1 + k % 26] || ' ' ||
    (array['Bakery', 'Builders', 'Cafes', 'Clinics', 'Dairy', 'Electric', 'Farms', 'Garage', 'Hotels', 'Interiors', 'Joinery',
      'Kitchens', 'Logistics', 'Marine', 'Nursery', 'Offices', 'Printers', 'Retail', 'Schools', 'Theatres'])[1 + k / 26] as name) word
  cross join lateral (select array_agg(e.id order by e.id) as ids
    from employees e where e.org_id = org.org_id and e.job = 'sales') rep;

insert into products (org_id, id, name, unit_price, unit_cost)
select org_id, base + n, name, price, round((price * (0.48 + 0.3 * pg_temp.draw(base + n, 3)))::numeric, 2)
from (values
  ('acme', 100, array['Claw hammer', 'Cordless drill', 'Socket set', 'Spirit level', 'Bench vice', 'Angle grinder', 'Wood chisels',
    'Tape measure', 'Impact driver', 'Tool trolley', 'Hand saw', 'Safety goggles'],
    array[18.9, 129, 64.5, 22, 89, 74.9, 39.5, 7.8, 149, 259, 16.4, 5.9]),
  ('globex', 200, array['Olive oil 5 l', 'Durum flour 25 kg', 'Arabica beans 1 kg', 'Tinned tomatoes x24', 'Basmati rice 20 kg',
    'Oat drink x12', 'Sea salt 10 kg', 'Dark chocolate 5 kg', 'Frozen peas 10 kg', 'Honey 3 kg', 'Cheddar block 5 kg', 'Lentils 15 kg'],
    array[42.5, 21.9, 17.8, 26.4, 38, 19.2, 8.5, 54, 23.5, 31.9, 36.8, 27.3]),
  ('initech', 300, array['Copy paper A4 x5', 'Envelopes C5 x500', 'Cardboard 60 cm', 'Label rolls x10', 'Receipt rolls x50',
    'Notebooks x20', 'Gift wrap 100 m', 'Paper bags x250', 'Kraft tape x36', 'Drawing pads x10', 'Folders x100', 'Tissue x48'],
    array[24.9, 28.5, 12.4, 33, 41.5, 36, 58, 44.9, 52.3, 29.9, 19.8, 25.6]),
  ('hooli', 400, array['LED panel 60', 'Desk lamp', 'Track spot', 'Street light', 'Dimmer', 'Emergency sign', 'Strip 5 m',
    'Pendant', 'Flood light', 'Sensor', 'Bulb E27 x10', 'Driver 60 W'],
    array[59, 44.9, 72.5, 389, 28.4, 66, 24.9, 118, 96.5, 19.9, 22.5, 31])
) as catalogue (org_id, base, names, prices),
  lateral unnest(names, prices) with ordinality as item (name, price, n);

-- Few customers and few products make most of the orders, and business grows: recent months hold more.
insert into orders (org_id, id, reference, customer_id, product_id, quantity, unit_price, status, placed_at)
select org.org_id, seed.id, upper(substr(md5('reference ' || seed.id), 1, 10)),
  org.customer_base + 1 + floor(org.customers * pg_temp.draw(seed.id, 4) ^ 2)::integer,
  p.id, 1 + floor(40 * pg_temp.draw(seed.id, 6) ^ 3)::integer,
  round(p.unit_price * (array[1, 1, 1, 0.95, 0.9])[1 + floor(5 * pg_temp.draw(seed.id, 7))::integer], 2),
  case
    when pg_temp.draw(seed.id, 8) < 0.03 then 'cancelled'
    when seed.days > 12 then 'delivered'
    when seed.days > 5 then 'shipped'
    else 'open'
  end,
  current_date::timestamp at time zone 'UTC' - make_interval(days => seed.days)
    + make_interval(secs => 7 * 3600 + floor(39600 * pg_temp.draw(seed.id, 9)))
from (values
    ('acme', 1000000, 40000, 10000, 200, 100), ('globex', 2000000, 30000, 20000, 150, 200),
    ('initech', 3000000, 20000, 30000, 100, 300), ('hooli', 4000000, 10000, 40000, 50, 400)
  ) as org (org_id, base, orders, customer_base, customers, product_base)
  cross join generate_series(1, org.orders) n
  cross join lateral (select org.base + n as id, 1 + floor(729 * pg_temp.draw(org.base + n, 10) ^ 1.4)::integer as days) seed
  join products p on p.org_id = org.org_id
    and p.id = org.product_base + 1 + floor(12 * pg_temp.draw(seed.id, 5) ^ 1.6)::integer;

-- Due after 30 days; of the old ones four in a hundred are still not paid.
insert into invoices (org_id, id, order_id, amount, due_on, paid_on)
select o.org_id, o.id + 5000000, o.id, o.total, o.placed_at::date + 30,
  case when pg_temp.draw(o.id, 11) > 0.04 and o.placed_at::date + paid.days < current_date then o.placed_at::date + paid.days end
from orders o
  cross join lateral (select 5 + floor(50 * pg_temp.draw(o.id, 12))::integer as days) paid
where o.status <> 'cancelled';
