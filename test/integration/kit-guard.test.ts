import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

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
beforeAll(async () => {
  world = await kitWorld();
  gateway = await world.connect();
});
afterAll(() => world[Symbol.asyncDispose]());

const task = (...details: readonly unknown[]) => ({
  id: "t-1",
  exp: Date.now() / 1000 + 100,
  authorization_details: details,
});
const reads = (...objects: readonly string[]) => ({ type: "behalf", actions: ["read"], objects });
const rowsWith = async (scope: unknown, text = ALL_ORDERS) =>
  call(gateway, await world.ticket(), text, { task: scope });

describe("a guard", () => {
  it("binds a policy that would show everything; without it the rows are there", async () => {
    await world.admin.query(`
      create table notes (id int, note text);
      insert into notes values (1, 'guarded-note');
      alter table notes enable row level security;
      create policy everything on notes to behalf_agents using (true) with check (true);
      grant select, insert, update, delete on notes to ${world.names.agent}`);
    /** As the agent role, but with no human: what a mistake in a gateway or a stolen role would be. */
    const asAgent = async (text: string) => {
      await world.admin.query("begin");
      try {
        await world.admin.query(`set local role ${world.names.agent}`);
        return (await world.admin.query(text)).rowCount;
      } catch (error) {
        return (error as pg.DatabaseError).code;
      } finally {
        await world.admin.query("rollback");
      }
    };
    const all = async () => ({
      read: await asAgent("select * from notes"),
      create: await asAgent("insert into notes values (2, 'x')"),
      update: await asAgent("update notes set note = 'x'"),
      delete: await asAgent("delete from notes"),
    });
    expect(await all()).toEqual({ read: 1, create: 1, update: 1, delete: 1 });
    await world.admin.query("select behalf.guard('notes')");
    expect(await all()).toEqual({ read: 0, create: "42501", update: 0, delete: 0 });
    // Again, and off.
    await world.admin.query("select behalf.guard('notes')");
    expect(await all()).toMatchObject({ read: 0 });
    await world.admin.query("select behalf.unguard('notes')");
    expect(await all()).toMatchObject({ read: 1 });
  });

  it("refuses a seal of another role than the one that runs", async () => {
    const { rows } = await gateway.query<{ seal: string }>("begin read only").then(async () => {
      await start(gateway, await world.ticket());
      return gateway.query<{ seal: string }>("select current_setting('behalf.seal') as seal");
    });
    await gateway.query("rollback");
    expect(rows[0]?.seal).toContain(world.names.agent);
    await world.admin.query("begin");
    await start(world.admin, null).catch(() => {});
    await world.admin.query("rollback");
    const { rows: answers } = await world.admin.query(
      "select behalf.allows('orders', 'read', 'postgres') as other, behalf.allows('orders', 'read', null) as nobody",
    );
    expect(answers).toEqual([{ other: false, nobody: false }]);
  });

  it("is refused for a table without row level security, with the remedy", async () => {
    await world.admin.query("create table bare (id int)");
    const error = await refusal(world.admin.query("select behalf.guard('bare')"));
    expect(error).toMatchObject({ code: "ZB007", detail: "row_security" });
    expect(error.hint).toContain("alter table public.bare enable row level security");
  });

  it("is not noticed by the table's owner, by other roles and by their policies", async () => {
    const app = await world.connect(world.names.app);
    await world.admin.query(`
      create table ledger (id int, owner name);
      alter table ledger enable row level security;
      alter table ledger owner to ${world.names.app};
      insert into ledger values (1, '${world.names.app}'), (2, '${world.names.keysync}');
      create policy own on ledger using (owner = current_user);
      grant select, insert on ledger to ${world.names.keysync}`);
    const seen = async () => {
      const other = await world.connect(world.names.keysync);
      return [
        (await app.query("select id from ledger order by id")).rows,
        (await other.query("select id from ledger order by id")).rows,
      ];
    };
    const before = await seen();
    expect(before).toEqual([[{ id: 1 }, { id: 2 }], [{ id: 2 }]]);
    await world.admin.query("select behalf.guard('ledger')");
    expect(await seen()).toEqual(before);
    await app.query("insert into ledger values (3, 'x')");
  });
});

describe("a task", () => {
  it("narrows to its tables and verbs", async () => {
    expect(await rowsWith(task(reads("public.orders")))).toEqual(ROWS.alice);
    expect(await rowsWith(task(reads("public.other"), reads("public.orders")))).toEqual(ROWS.alice);
  });

  it.each<readonly [string, readonly unknown[]]>([
    ["no detail", []],
    ["another table", [reads("public.other")]],
    ["another schema", [reads("private.orders")]],
    ["the name without its schema", [reads("orders")]],
    ["capitals", [reads("public.ORDERS")]],
    ["quotes", [reads('"public"."orders"')]],
    ["another verb", [{ actions: ["create"], objects: ["public.orders"] }]],
    [
      "verb and table in two details",
      [
        { actions: ["read"], objects: [] },
        { actions: [], objects: ["public.orders"] },
      ],
    ],
    ["a wildcard", [reads("public.*", "*")]],
  ])("shows no row with %s", async (_, details) => {
    expect(await rowsWith(task(...details))).toEqual([]);
  });

  it.each<readonly [string, unknown]>([
    ["no object", "t-1"],
    ["a list", []],
    ["null", null],
    ["without exp", { authorization_details: [] }],
    ["with exp as text", { exp: "9999999999", authorization_details: [] }],
    ["without details", { exp: 9_999_999_999 }],
    [
      "with details that are no list",
      { exp: 9_999_999_999, authorization_details: reads("public.orders") },
    ],
    ["with a detail that is no object", task("public.orders")],
    ["with a verb instead of a list", task({ actions: "read", objects: ["public.orders"] })],
    ["with verbs as members", task({ actions: { read: false }, objects: ["public.orders"] })],
    ["with a table instead of a list", task({ actions: ["read"], objects: "public.orders" })],
    [
      "with columns, which this database cannot narrow to",
      task({ ...reads("public.orders"), columns: ["id"] }),
    ],
    [
      "with a limit that it does not know",
      { ...task(reads("public.orders")), limits: { rows: 1 } },
    ],
  ])("is refused %s", async (_, scope) => {
    // A JSON null is a task that says nothing; no task is SQL NULL.
    expect(await refusal(rowsWith(scope))).toMatchObject({ code: "ZB009", detail: "task" });
  });

  it("is refused once it has expired, and bites in the middle of a transaction", async () => {
    const over = { ...task(reads("public.orders")), exp: Date.now() / 1000 - 1 };
    expect(await refusal(rowsWith(over))).toMatchObject({ code: "ZB009", detail: "task_expired" });

    await gateway.query("begin read only");
    await start(gateway, await world.ticket(), { task: { ...over, exp: Date.now() / 1000 + 0.7 } });
    expect(await sandbox(gateway, ALL_ORDERS)).toEqual(ROWS.alice);
    await gateway.query("close behalf_cursor");
    await new Promise((resolve) => {
      setTimeout(resolve, 800);
    });
    expect(await sandbox(gateway, ALL_ORDERS)).toEqual([]);
    await gateway.query("rollback");
  });

  it("tells apart names that read the same without quotes", async () => {
    await world.admin.query(`
      create schema "a.b"; create schema a;
      create table "a.b".c (note text); create table a."b.c" (note text);
      insert into "a.b".c values ('schema with a dot'); insert into a."b.c" values ('table with a dot');
      grant usage on schema a, "a.b" to ${world.names.agent};
      do $$ declare t regclass; begin
        foreach t in array array['"a.b".c', 'a."b.c"']::regclass[] loop
          execute format('alter table %s enable row level security', t);
          execute format('create policy p on %s to behalf_agents using (true)', t);
          execute format('grant select on %s to ${world.names.agent}', t);
          perform behalf.guard(t);
        end loop;
      end $$`);
    const both = 'select note from "a.b".c union all select note from a."b.c"';
    expect(await rowsWith(undefined, both)).toHaveLength(2);
    expect(await rowsWith(task(reads("a.b.c")), both)).toEqual([]);
    expect(await rowsWith(task(reads('"a.b".c')), both)).toEqual(['("schema with a dot")']);
    expect(await rowsWith(task(reads('a."b.c"')), both)).toEqual(['("table with a dot")']);
  });
});

it("whoami names the human, the roles and each actor once", async () => {
  const token = world.token("alice", {
    act: { sub: "gateway", act: { sub: "gateway", act: { sub: "agent" } } },
  });
  const [line] = await call(
    gateway,
    token,
    "select role, login, issuer, subject, actors from behalf.whoami()",
  );
  expect(line).toBe(
    `(${world.names.agent},${world.names.gateway},https://login.example.test,alice,"[""gateway"", ""agent""]")`,
  );
});
