import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
  call,
  type KitWorld,
  kitWorld,
  refusal,
  ROWS,
  sandbox,
  start,
} from "../support/kit-world.ts";

let world: KitWorld;
let gateway: pg.Client;
let alice: string;
let bob: string;
beforeAll(async () => {
  world = await kitWorld();
  await world.admin.query(`
    create table payroll (id int, note text);
    insert into payroll values (1, 'payroll-secret');
    alter table payroll enable row level security;
    create sequence numbers;
    grant usage on sequence numbers to ${world.names.agent};
    grant insert, update, delete on orders to ${world.names.agent};
    create policy agents_write on orders for all to behalf_agents using (true) with check (true);
    create function public.writes() returns int language plpgsql as
      $$ begin insert into orders values (99, 'acme', 'written'); return 1; end $$;
    create function public.writes_stable() returns int language plpgsql stable as
      $$ begin insert into orders values (99, 'acme', 'written'); return 1; end $$;
  `);
  await world.admin.query("drop policy agents_write on orders");
  alice = await world.ticket();
  bob = await world.ticket("bob");
});
afterAll(() => world[Symbol.asyncDispose]());
beforeEach(async () => {
  gateway ??= await world.connect();
  await gateway.query("rollback");
});

const state = async (client: pg.Client) => {
  const { rows } = await client.query(`
    select current_user as me, current_setting('search_path') as path, current_setting('TimeZone') as zone,
      nullif(current_setting('behalf.seal', true), '') as seal, current_setting('statement_timeout') as timeout,
      current_setting('row_security') as row_security, current_setting('transaction_read_only') as read_only,
      (select count(*)::int from pg_cursors where name <> '') as cursors,
      (select count(*)::int from pg_listening_channels()) as channels,
      (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks,
      (select count(*)::int from pg_class where relpersistence = 't' and pg_table_is_visible(oid)) as temporary`);
  return rows[0];
};

describe("PostgreSQL refuses", () => {
  it.each<readonly [string, string, string]>([
    ["an insert", "insert into orders values (9, 'acme', 'x')", "42P11"],
    [
      "an insert inside WITH",
      "with w as (insert into orders values (9, 'acme', 'x') returning 1) select * from w",
      "0A000",
    ],
    ["an insert in a function", "select writes()", "25006"],
    ["an insert in a function that says it is stable", "select writes_stable()", "0A000"],
    [
      "an insert by query_to_xml",
      "select query_to_xml('insert into orders values (9, ''acme'', ''x'') returning 1', true, true, '')",
      "0A000",
    ],
    ["an update", "update orders set note = 'x'", "42P11"],
    ["a row lock", "select * from orders for update", "0A000"],
    ["the next number of a sequence", "select nextval('numbers')", "25006"],
    ["SELECT INTO", "select * into temp t from orders", "42P11"],
    ["CREATE", "create temp table t (x int)", "42P11"],
    ["two statements", "select 1; select 2", "42P11"],
    ["a statement behind a comment", "select 1 /* */; commit", "42P11"],
    ["nothing", "", "42P11"],
    ["COMMIT", "commit", "42P11"],
    ["SET ROLE", "set role none", "42P11"],
    ["RESET", "reset all", "42P11"],
    ["DO", "do $$ begin end $$", "42P11"],
    ["COPY", "copy orders to stdout", "42P11"],
    ["LISTEN", "listen orders", "42P11"],
    ["a cursor", "declare c cursor with hold for select 1", "42P11"],
    ["PREPARE", "prepare p as select 1", "42P11"],
    ["set_config of role", "select set_config('role', 'none', true)", "42501"],
    [
      "set_config of role, nested",
      "select query_to_xml('select set_config(''role'', ''none'', false)', true, true, '')",
      "42501",
    ],
    [
      "set_config of session_authorization",
      "select set_config('session_authorization', session_user, true)",
      "42501",
    ],
    ["READ WRITE", "select set_config('transaction_read_only', 'off', true)", "25001"],
    ["another table", "select * from payroll", "42501"],
    ["another table by query_to_xml", "select table_to_xml('payroll', true, true, '')", "42501"],
    ["the kit's keys", "select * from behalf.secrets", "42501"],
    ["the kit's settings", "select * from behalf.settings", "42501"],
    ["behalf.start", "select behalf.start('x', 'y', 'z')", "42501"],
    ["behalf.open inside open", "select behalf.open('select 1')", "42501"],
    ["behalf.fetch", "select behalf.fetch(1, 1)", "42501"],
    ["behalf.sealed", "select behalf.sealed()", "42501"],
    ["behalf.hmac", "select behalf.hmac('', '', '')", "42501"],
    ["behalf.put_keys", "select behalf.put_keys('x', '{}')", "42501"],
    [
      "the functions of the sandbox that its own role owns",
      "select behalf_sandbox.AGENT_open('select 1')",
      "42501",
    ],
    ["server files", "select pg_read_file('/etc/passwd')", "42501"],
    [
      "row security off",
      "select set_config('row_security', 'off', true), count(*) from orders",
      "NONE",
    ],
    ["its own cursor as XML", "select cursor_to_xml('behalf_cursor', 1, true, true, '')", "55000"],
  ])("%s", async (_, text, code) => {
    const outcome = await call(gateway, alice, text.replace("AGENT", world.names.agent)).then(
      () => "NONE",
      (error: unknown) => (error as pg.DatabaseError).code,
    );
    expect(outcome).toBe(code);
  });

  it("row security off where it would count: it is an error and no way past it", async () => {
    await gateway.query("begin read only");
    await start(gateway, alice);
    await sandbox(gateway, "select set_config('row_security', 'off', true)");
    await gateway.query("close behalf_cursor");
    expect((await refusal(sandbox(gateway, ALL_ORDERS))).code).toBe("42501");
    await gateway.query("rollback");
    expect(await call(gateway, alice, ALL_ORDERS)).toEqual(ROWS.alice);
  });
});

describe("an agent cannot become Bob", () => {
  it.each([
    "select note, set_config('behalf.seal', replace(current_setting('behalf.seal'), 'acme', 'globex'), true) from orders",
    'with x as materialized (select set_config(\'behalf.seal\', repeat(\'0\', 64) || \'{"role":"r","exp":9e9,"claims":{"org_id":"globex"}}\', true)) select o.note from x, orders o',
    "select query_to_xml('select set_config(''behalf.seal'', '''', true), note from orders', true, true, '')",
    "select note from orders where set_config('behalf.seal', '', false) is null or true",
    "select note from orders where org_id = 'globex' or 1 = 1",
    "select note from orders union all select note from only orders",
    "select (select string_agg(note, ',') from orders), set_config('search_path', 'pg_temp', false)",
  ])("%s", async (text) => {
    const outcome = await call(gateway, alice, text).catch((error: unknown) => String(error));
    expect(JSON.stringify(outcome)).not.toContain("bob-");
    // The seal that the text tried to leave is nobody's.
    expect(await call(gateway, bob, ALL_ORDERS, { subject: "bob" })).toEqual(ROWS.bob);
  });
});

describe("what a text leaves behind is gone before the next human", () => {
  it.each([
    "select set_config('search_path', 'evil', false), set_config('TimeZone', 'Asia/Tokyo', false), set_config('row_security', 'off', false)",
    "select set_config('statement_timeout', '1', false), set_config('application_name', 'alice', false)",
    "select set_config('behalf.seal', current_setting('behalf.seal'), false)",
    "select set_config('my.note', string_agg(note, ','), false) from orders",
    "select pg_advisory_lock(1), pg_advisory_lock_shared(2)",
    "select pg_notify('orders', note) from orders",
    "select setseed(0.25), random()",
    "select 1 / 0",
    "select count(*) from generate_series(1, 10) where pg_try_advisory_lock(3)",
  ])("%s", async (text) => {
    const connection = await world.connect();
    const before = await state(connection);
    await call(connection, alice, text).catch(() => []);
    expect(await state(connection)).toEqual(before);
    expect(
      (await connection.query("select current_setting('my.note', true) as n")).rows[0].n,
    ).toBeOneOf([null, ""]);
    expect(await call(connection, bob, ALL_ORDERS, { subject: "bob" })).toEqual(ROWS.bob);
  });

  it("which a call without the clean-up would not be", async () => {
    const connection = await world.connect();
    const before = await state(connection);
    await connection.query("begin read only");
    await start(connection, alice);
    await sandbox(connection, "select pg_advisory_lock(1), set_config('my.note', 'x', false)");
    await connection.query("commit");
    expect(await state(connection)).not.toEqual(before);
    expect((await connection.query("select current_setting('my.note') as n")).rows[0].n).toBe("x");
  });
});

it("shows rows the same way whatever the connection was set to", async () => {
  const text =
    "select timestamptz '2026-01-02 03:04:05Z', interval '1 day', bytea '\\x00', 0.1::float8 + 0.2";
  const plain = await call(gateway, alice, text);
  const odd = await world.connect();
  await odd.query(
    "set TimeZone = 'Asia/Tokyo'; set DateStyle = 'German'; set IntervalStyle = 'iso_8601'; set bytea_output = 'escape'; set extra_float_digits = -5; set search_path = pg_temp",
  );
  expect(await call(odd, alice, text)).toEqual(plain);
  expect(await call(odd, alice, ALL_ORDERS)).toEqual(ROWS.alice);
});

it("looks names up past what lies in pg_temp", async () => {
  const connection = await world.connect();
  await connection.query(
    "create temp table orders as select 7 as id, 'acme' as org_id, 'planted' as note",
  );
  expect((await connection.query("select note from orders")).rows).toEqual([{ note: "planted" }]);
  expect(await call(connection, alice, ALL_ORDERS)).toEqual(ROWS.alice);
});

describe("the order of the calls", () => {
  it("refuses open and fetch without start, outside READ ONLY, and after the end", async () => {
    const steps = async (begin: string, ...texts: string[]) => {
      await gateway.query(begin);
      try {
        for (const text of texts) await gateway.query(text);
        return "NONE";
      } catch (error) {
        return `${(error as pg.DatabaseError).code} ${(error as pg.DatabaseError).detail}`;
      } finally {
        await gateway.query("rollback");
      }
    };
    const proof = `select behalf.start('${alice.replaceAll("'", "''")}', 'https://login.example.test', 'alice')`;
    const open = "select behalf.open('select 1')";
    const fetch = "select * from behalf.fetch(1, 100)";
    expect(await steps("begin read only", proof, open, fetch)).toBe("NONE");
    expect(await steps("begin read only", open)).toBe("ZB003 not_started");
    expect(await steps("begin read only", fetch)).toBe("ZB003 not_started");
    expect(await steps("begin", proof, open)).toBe("ZB007 read_only");
    expect(await steps("begin", proof, fetch)).toBe("ZB007 read_only");
    expect(await steps("begin read only", proof, "set transaction read write")).toBe(
      "25001 undefined",
    );
    expect(await steps("begin read only", proof, "savepoint s", "set transaction read write")).toBe(
      "25001 undefined",
    );
    expect(await steps("begin read only", proof, fetch)).toBe("34000 undefined");
    expect(await steps("begin read only", proof, open, open)).toBe("42P03 undefined");
  });
});

describe("TRAP: a FETCH by the login itself", () => {
  it("runs the agent's expressions as the login, which fetch() does not", async () => {
    for (const [raw, role] of [
      [true, world.names.gateway],
      [false, world.names.agent],
    ] as const) {
      await gateway.query("begin read only");
      await start(gateway, alice);
      await gateway.query("select behalf.open('select current_user')");
      const { rows } = await gateway.query(
        raw ? "fetch 1 from behalf_cursor" : "select * from behalf.fetch(1, 1000)",
      );
      expect(JSON.stringify(rows)).toContain(role);
      await gateway.query("rollback");
    }
  });

  it("lets the text change roles, which fetch() does not; without a row to gain, because the guard asks who runs", async () => {
    await gateway.query("begin read only");
    await start(gateway, alice);
    await gateway.query("select behalf.open($1)", ["select set_config('role', 'none', true)"]);
    await gateway.query("fetch 1 from behalf_cursor");
    await gateway.query("close behalf_cursor");
    await gateway.query("select behalf.open($1)", [ALL_ORDERS]);
    expect((await gateway.query("fetch all from behalf_cursor")).rows).toEqual([]);
    await gateway.query("rollback");
  });
});

it("shows an agent nothing of another call's proof", async () => {
  const other = await world.connect();
  await other.query("begin read only");
  await start(other, world.token("bob"), { subject: "bob" });
  await sandbox(other, "select 'bobs own text'");
  const rows = await call(
    gateway,
    alice,
    `select s::text from pg_stat_activity s
     union all select p::text from pg_prepared_statements p
     union all select c::text from pg_cursors c
     union all select (x.name, x.setting)::text from pg_settings x`,
  );
  await other.query("rollback");
  const all = rows.join("\n");
  expect(rows.length).toBeGreaterThan(100);
  for (const secret of ["bt1.", "eyJ", "bobs own text", '"bob"', "globex"]) {
    expect(all).not.toContain(secret);
  }
});
