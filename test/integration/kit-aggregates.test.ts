import type pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";

import { call, type KitWorld, kitWorld, refusal, sandbox, start } from "../support/kit-world.ts";

// A text that looks as if it aggregates is planned again between parentheses, so that it can run in parallel.
// Whatever it is, the answer must be the one of the cursor, which `open` and `fetch` give.
let world: KitWorld;
let gateway: pg.Client;
let alice: string;
beforeAll(async () => {
  world = await kitWorld();
  const { agent, database } = world.names;
  await world.admin.query(`
    create table many (id int, filler text);
    insert into many select i, repeat('x', 50) from generate_series(1, 50000) i;
    alter table many enable row level security;
    create policy agents_read on many for select to behalf_agents using ((select behalf.claim('org_id')) = 'acme');
    select behalf.guard('many');
    grant select on many to ${agent};
    create function public.process() returns int language plpgsql parallel safe as 'begin return pg_backend_pid(); end';
    analyze many;
    alter database ${database} set parallel_setup_cost = 0;
    alter database ${database} set parallel_tuple_cost = 0;
    alter database ${database} set min_parallel_table_scan_size = 0;
    alter database ${database} set parallel_leader_participation = off;
  `);
  gateway = await world.connect();
  alice = await world.ticket();
});
afterAll(() => world[Symbol.asyncDispose]());

type Answer = readonly (string | null)[] | { readonly code: string };

async function inCall(work: () => Promise<readonly (string | null)[]>): Promise<Answer> {
  await gateway.query("begin read only");
  try {
    await start(gateway, alice);
    return await work();
  } catch (error) {
    return { code: String((error as pg.DatabaseError).code) };
  } finally {
    await gateway.query("rollback");
  }
}

async function read(text: string, rows = 1000, bytes = 1_000_000) {
  const result = await gateway.query<{ read: string | null }>(
    "select * from behalf.read($1, $2, $3)",
    [text, rows, bytes],
  );
  return result.rows.map((row) => row.read);
}

async function byCursor(text: string, rows = 1000, bytes = 1_000_000) {
  await gateway.query("select behalf.open($1)", [text]);
  const result = await gateway.query<{ fetch: string | null }>(
    "select * from behalf.fetch($1, $2)",
    [rows, bytes],
  );
  return result.rows.map((row) => row.fetch);
}

it.each([
  "select count(*) from orders",
  "select org_id, count(*), max(note) from orders group by org_id",
  "select count(*) as n, count(*) as n, null, '' from orders",
  "select 1 as behalf_r, 2 as r, 3 as line, 4 as used, count(*) from orders",
  "select row(1, 'a,\"b\"'), array_agg(id order by id) from orders",
  "select id, sum(id) over (order by id) from orders order by id desc",
  "values (1, 'count(*)'), (2, 'x')",
  "table orders -- count(",
  "select count(*) from orders; -- and a semicolon before a comment",
  "select count(*) from orders ;\n; ",
  "select from orders /* count( */",
  "select 'count(' from orders where false",
  "with n as (select count(*) as c from orders) select * from n, orders order by id limit 2",
  "select sum(id) / 0 from orders",
  "select count(*) from nothing_of_that_name",
  "select count(*) from orders where id = $1",
  "select count(*) from orders) as behalf_r limit 1) r) r; select 1 --",
  "select count(*) from orders) union (select 7",
  "select count(*)) as behalf_r) r) r, lateral (select 1 as used",
  "select count(*) from orders; select count(*) from orders",
  "select count(*) into temp t from orders",
  "explain select count(*) from orders",
  "with w as (insert into orders values (9, 'acme', 'x') returning id) select count(*) from w",
  "select count(set_config('role', 'none', true)) from orders",
  "select count(*) from orders for update",
])("answers as the cursor does: %s", async (text) => {
  const wanted = await inCall(() => byCursor(text));
  expect(await inCall(() => read(text))).toEqual(wanted);
});

it.each([
  [3, 1_000_000],
  [1000, 60],
  [1000, 5],
  [1000, 0],
  [2, 10_000],
  [0, 1000],
])("ends the result where the cursor does: %d rows, %d bytes", async (rows, bytes) => {
  const text =
    "select i, repeat('x', i), count(*) from generate_series(1, 20) i group by i order by i";
  const wanted = await inCall(() => byCursor(text, rows, bytes));
  expect(await inCall(() => read(text, rows, bytes))).toEqual(wanted);
});

it("runs in parallel, which a cursor does not", async () => {
  const processes = "select min(public.process()), max(public.process()) from many";
  const { rows: me } = await gateway.query("select pg_backend_pid() as pid");
  const own = `(${me[0].pid},${me[0].pid})`;
  expect(await inCall(() => byCursor(processes))).toEqual([own]);
  const [workers] = (await inCall(() => read(processes))) as readonly string[];
  expect(workers).toMatch(/^\(\d+,\d+\)$/);
  expect(workers).not.toBe(own);
});

it("shows the workers of another human's call nothing either", async () => {
  const bob = await world.ticket("bob");
  const count = (proof: string, subject: string) =>
    call(gateway, proof, "select count(*), count(distinct public.process()) > 0 from many", {
      subject,
    });
  expect(await count(alice, "alice")).toEqual(["(50000,t)"]);
  expect(await count(bob, "bob")).toEqual(["(0,f)"]);
});

it("stops at the byte cap while it still has rows to read", async () => {
  await gateway.query("begin read only");
  await start(gateway, alice);
  // A gigabyte of text, of which the first line is all that fits.
  const text = "select repeat(filler, 400), id from many group by filler, id";
  expect(await read(text, 50_000, 30_000)).toHaveLength(2);
  expect(await refusal(sandbox(gateway, "select 1"))).toMatchObject({ code: "42P03" });
  await gateway.query("rollback");
});
