import type pg from "pg";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";

import {
  ALL_ORDERS,
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
beforeEach(() => gateway.query("rollback; reset all"));

const sealOf = async (client: pg.Client) => {
  const { rows } = await client.query<{ seal: string | null }>(
    "select current_setting('behalf.seal', true) as seal",
  );
  return rows[0]?.seal ?? null;
};
const setSeal = (client: pg.Client, seal: string, local = true) =>
  client.query("select set_config('behalf.seal', $1, $2)", [seal, local]);
const refused = async (client = gateway) => {
  const error = await refusal(sandbox(client, ALL_ORDERS));
  return `${error.code} ${error.detail}`;
};
/** The seal of a call of Alice's, as her agent could read it. */
const alicesSeal = async () => {
  await gateway.query("begin read only");
  await start(gateway, await world.ticket());
  expect(await sandbox(gateway, ALL_ORDERS)).toEqual(ROWS.alice);
  return (await sealOf(gateway)) ?? "";
};

it("is good for the rest of its transaction, also when it is copied there", async () => {
  const seal = await alicesSeal();
  await gateway.query("close behalf_cursor");
  await setSeal(gateway, "");
  await setSeal(gateway, seal);
  expect(await sandbox(gateway, ALL_ORDERS)).toEqual(ROWS.alice);
});

describe("is worth nothing", () => {
  it("in the next transaction of the same backend", async () => {
    const seal = await alicesSeal();
    await gateway.query("commit");
    for (const begin of ["begin read only", "begin isolation level serializable read only"]) {
      await gateway.query(begin);
      await setSeal(gateway, seal);
      expect(await refused()).toBe("ZB003 seal");
      await gateway.query("rollback");
    }
  });

  it("when it is kept for the session", async () => {
    const seal = await alicesSeal();
    await setSeal(gateway, seal, false);
    await gateway.query("commit");
    expect(await sealOf(gateway)).toBe(seal);
    await gateway.query("begin read only");
    expect(await refused()).toBe("ZB003 seal");
  });

  it("on another backend at the same time", async () => {
    const other = await world.connect();
    await other.query("begin read only");
    const seal = await alicesSeal();
    await setSeal(other, seal);
    expect(await refused(other)).toBe("ZB003 seal");
    await other.query("rollback");
  });

  it("after a rollback to the savepoint that it was made in", async () => {
    await gateway.query("begin read only");
    await gateway.query("savepoint s");
    await start(gateway, await world.ticket());
    expect(await sandbox(gateway, ALL_ORDERS)).toEqual(ROWS.alice);
    await gateway.query("rollback to s");
    expect(await refused()).toBe("ZB003 not_started");
  });

  it.each<readonly [string, (seal: string) => string]>([
    ["with another human", (seal) => seal.replaceAll("alice", "robot")],
    ["with another organisation", (seal) => seal.replace("acme", "glob")],
    ["with one hex digit changed", (seal) => (seal.startsWith("0") ? "1" : "0") + seal.slice(1)],
    ["without its MAC", (seal) => seal.slice(64)],
    ["cut off", (seal) => seal.slice(0, 64)],
    ["shorter than a MAC", () => "00"],
    ["empty", () => ""],
    ["with a character behind", (seal) => `${seal} `],
    ["as another way to write the same JSON", (seal) => seal.replace('", "', '" , "')],
  ])("%s", async (_, change) => {
    const seal = await alicesSeal();
    await gateway.query("close behalf_cursor");
    expect(change(seal)).not.toBe(seal);
    await setSeal(gateway, change(seal));
    expect(await refused()).toBe(change(seal) === "" ? "ZB003 not_started" : "ZB003 seal");
  });

  it("after its key is gone", async () => {
    await alicesSeal();
    await gateway.query("close behalf_cursor");
    await world.admin.query("select behalf.rotate_secrets()");
    expect(await sandbox(gateway, ALL_ORDERS)).toEqual(ROWS.alice);
    await gateway.query("close behalf_cursor");
    await world.admin.query("select behalf.rotate_secrets()");
    expect(await refused()).toBe("ZB003 seal");
  });
});

it("repeats within one simple-protocol message, where now() does: the documented trap", async () => {
  const ticket = (await world.ticket()).replaceAll("'", "''");
  const issuer = "https://login.example.test";
  const replay = (middle: string) => `
    begin read only;
    select behalf.start('${ticket}', '${issuer}', 'alice');
    select set_config('test.copy', current_setting('behalf.seal'), false);
    ${middle}
    select set_config('behalf.seal', current_setting('test.copy'), true);
    select behalf.open('select 1');
    rollback`;
  // Who sends both halves in one message has the proof anyway; the adapter sends no such message.
  await gateway.query(replay("commit; begin read only;"));
  await gateway.query("begin read only");
  await setSeal(
    gateway,
    (await gateway.query("select current_setting('test.copy') as c")).rows[0].c,
  );
  expect(await refused()).toBe("ZB003 seal");
});

it("is bound to the process and to the microsecond that the transaction began", async () => {
  // now() is never the same on two backends by design, so each half is shown by its own arithmetic.
  const seal = await alicesSeal();
  const { rows } = await gateway.query("select pg_backend_pid() as pid, now()::text as began");
  const { pid, began } = rows[0] as { pid: number; began: string };
  const mac = async (forPid: number, at: string) => {
    const result = await world.admin.query<{ mac: string }>(
      `select encode(behalf.hmac(inner_block, outer_block,
         int4send($1) || timestamptz_send($2::timestamptz) || convert_to($3, 'UTF8')), 'hex') as mac
       from behalf.secrets where purpose = 'seal' order by id desc limit 1`,
      [forPid, at, seal.slice(64)],
    );
    return result.rows[0]?.mac;
  };
  expect(seal.slice(0, 64)).toBe(await mac(pid, began));
  expect(seal.slice(0, 64)).not.toBe(await mac(pid + 1, began));
  expect(seal.slice(0, 64)).not.toBe(await mac(pid, "2026-01-01Z"));
});

it("is made once per transaction", async () => {
  await gateway.query("begin read only");
  await start(gateway, await world.ticket());
  await gateway.query("savepoint s");
  const error = await refusal(start(gateway, await world.ticket("bob"), { subject: "bob" }));
  expect(`${error.code} ${error.detail}`).toBe("ZB003 started");
  await gateway.query("rollback to s");
  expect(await sandbox(gateway, ALL_ORDERS)).toEqual(ROWS.alice);
});

it("expires in the middle of a transaction, with an error and not with fewer rows", async () => {
  await gateway.query("begin read only");
  await start(gateway, world.token("alice", { exp: Date.now() / 1000 + 0.8 }));
  await gateway.query("select behalf.open($1)", [ALL_ORDERS]);
  expect((await gateway.query("select * from behalf.fetch(1, 1000)")).rowCount).toBe(1);
  await new Promise((resolve) => {
    setTimeout(resolve, 900);
  });
  await gateway.query("savepoint s");
  const error = await refusal(gateway.query("select * from behalf.fetch(1, 1000)"));
  expect(`${error.code} ${error.detail}`).toBe("ZB002 expired");
  await gateway.query("rollback to s");
  // Nor can another human take over the transaction and its cursor.
  expect((await refusal(start(gateway, world.token("bob"), { subject: "bob" }))).code).toBe(
    "ZB002",
  );
});

it("expires in the middle of a statement that is kept running", async () => {
  await gateway.query("begin read only");
  await start(gateway, world.token("alice", { exp: Date.now() / 1000 + 0.8 }));
  // statement_timestamp() would stand still for the whole of it.
  const error = await refusal(
    gateway.query(
      `
      do $$ begin
        perform behalf.open('select 1');
        close behalf_cursor;
        perform pg_sleep(1);
        perform behalf.open('select 1');
      end $$`.replace("close behalf_cursor;", "execute 'close behalf_cursor';"),
    ),
  );
  expect(error.code).toBe("ZB002");
});

it("ends with the transaction, however that ends", async () => {
  for (const end of ["commit", "rollback"]) {
    await alicesSeal();
    await gateway.query(end);
    expect(await sealOf(gateway)).toBe("");
    await gateway.query("begin read only");
    expect(await refused()).toBe("ZB003 not_started");
    await gateway.query("rollback");
  }
  // Outside a transaction block it ends with its own statement.
  await start(gateway, await world.ticket());
  expect(await sealOf(gateway)).toBe("");
});

it("is seen by parallel plans as by others", async () => {
  await world.admin.query(`
    create table big as select i as id, case when i % 2 = 0 then 'acme' else 'globex' end as org_id
      from generate_series(1, 60000) i;
    alter table big enable row level security;
    alter table big set (parallel_workers = 2);
    create policy agents_read on big for select to behalf_agents using (org_id = (select behalf.claim('org_id')));
    select behalf.guard('big');
    grant select on big to ${world.names.agent};
    analyze big`);
  await gateway.query(
    "set parallel_setup_cost = 0; set parallel_tuple_cost = 0; set min_parallel_table_scan_size = 0; select set_config(name, 'on', false) from pg_settings where name in ('debug_parallel_query', 'force_parallel_mode')",
  );
  await gateway.query("begin read only");
  await start(gateway, await world.ticket());
  expect(await sandbox(gateway, "select count(*), count(distinct org_id) from big")).toEqual([
    "(30000,1)",
  ]);
  // As a per-row function, too.
  await gateway.query("close behalf_cursor");
  expect(
    await sandbox(gateway, "select count(*) from big where behalf.claim('sub') = 'alice'"),
  ).toEqual(["(30000)"]);
});
