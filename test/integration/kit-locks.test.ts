import type pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { until } from "../support/failure.ts";
import {
  connect,
  installText,
  type KitWorld,
  kitWorld,
  refusal,
  uninstallText,
} from "../support/kit-world.ts";

let world: KitWorld;
let dba: pg.Client & AsyncDisposable;
let application: pg.Client;
let other: pg.Client;
beforeAll(async () => {
  world = await kitWorld();
  dba = await connect({ database: world.names.database });
  await world.admin.query(`
    create policy application on orders to ${world.names.app} using (true);
    create table stock (id int primary key, order_id bigint references orders) partition by range (id);
    create table stock_1 partition of stock for values from (0) to (100);
    create table countries (code text primary key);
    alter table stock owner to ${world.names.app};
    alter table stock_1 owner to ${world.names.app};
    alter table stock enable row level security`);
  application = await world.connect(world.names.app);
  other = await world.connect(world.names.app);
});
afterAll(async () => {
  await dba.end();
  await world[Symbol.asyncDispose]();
});

/** The strongest lock that a transaction has on each relation of the application, before it commits. */
async function locksOf(work: (client: pg.Client) => Promise<unknown>): Promise<readonly string[]> {
  await dba.query("begin");
  try {
    await work(dba);
    const { rows } = await dba.query<{ line: string }>(`
      select distinct c.relname || ' ' || l.mode as line
      from pg_locks l join pg_class c on c.oid = l.relation
      where l.pid = pg_backend_pid() and l.granted
        and c.relnamespace::regnamespace::text not in ('behalf', 'behalf_sandbox', 'pg_catalog', 'pg_toast')
      order by 1`);
    return rows.map(({ line }) => line);
  } finally {
    await dba.query("rollback");
  }
}

/** Requests for a lock on this table that wait. */
async function waiting(table: string): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    "select count(*)::int as n from pg_locks where relation = $1::regclass and not granted",
    [table],
  );
  return (rows[0] as { n: number }).n;
}

/** A transaction of the application that has written and goes on. */
async function longTransaction(): Promise<number> {
  await application.query("begin; update orders set note = note where id = 1");
  const { rows } = await application.query<{ pid: number }>("select pg_backend_pid() as pid");
  return (rows[0] as { pid: number }).pid;
}

/** What another connection of the application gets done while nothing may keep it longer than 50 ms. */
async function worksOn(text: string): Promise<string> {
  await other.query("set lock_timeout = '50ms'");
  const error = await other.query(text).catch((thrown: unknown) => thrown as pg.DatabaseError);
  return error instanceof Error ? (error.code ?? error.message) : "done";
}
const applicationWorks = () =>
  worksOn("update orders set note = note where id = 2; select from orders");

describe("on the application's tables", () => {
  it("installing, and preparing roles and logins, takes no lock at all", async () => {
    const { agent, gateway } = world.names;
    expect(await locksOf((client) => client.query(installText))).toEqual([]);
    for (const statement of [
      `select behalf.add_agent_role('${agent}')`,
      `select behalf.add_write_role('${agent}', '${agent}_writer')`,
      `select behalf.add_statement_role('${agent}', '${agent}_statements')`,
      `select behalf.add_gateway('${gateway}', writes => true)`,
      `select behalf.expose('countries', 'the same for everybody')`,
      `select behalf.map_role('https://login.example.test', 'job', 'x', '${agent}')`,
      `select behalf.revoke('https://login.example.test', 'x')`,
      "select behalf.rotate_secrets()",
    ]) {
      expect(await locksOf((client) => client.query(statement)), statement).toEqual([]);
    }
  });

  it("a guard locks its table and no partition, and removal the guarded tables alone", async () => {
    expect(await locksOf((client) => client.query("select behalf.guard('stock')"))).toEqual([
      "stock AccessExclusiveLock",
    ]);
    const removal = await locksOf(async (client) => {
      await client.query("drop policy agents_read on orders");
      await client.query(uninstallText);
    });
    expect(removal.filter((line) => !line.endsWith(" AccessShareLock"))).toEqual([
      "orders AccessExclusiveLock",
    ]);
  });
});

describe("beside a long transaction of the application", () => {
  it("a plain policy waits in front of the application; a guard does not", async () => {
    await longTransaction();
    const plain = dba.query("create policy plain on orders using (true)");
    await until(async () => (await waiting("orders")) === 1);
    expect(await applicationWorks()).toBe("55P03");
    await application.query("commit");
    await plain;
    await dba.query("drop policy plain on orders");

    await longTransaction();
    let isDone = false;
    const guard = dba.query("select behalf.guard('orders')").then(() => {
      isDone = true;
    });
    // It sleeps between two tries: by then at least one has failed.
    await until(async () => (await sleeping()) === 1);
    for (let time = 0; time < 20; time += 1) {
      expect(await applicationWorks()).toBe("done");
      expect(await waiting("orders")).toBe(0);
    }
    expect(isDone).toBe(false);
    await application.query("commit");
    await guard;
  });

  it("a guard gives up in the end, changes nothing, and says who is in the way", async () => {
    const pid = await longTransaction();
    const error = await refusal(
      dba.query("select behalf.lock_tables(array['orders']::regclass[], '200 ms')"),
    );
    expect(error).toMatchObject({ code: "55P03", detail: "locked" });
    expect(error.message).toContain("public.orders was in use");
    expect(error.hint).toContain(`held by ${pid}:`);
    expect(await applicationWorks()).toBe("done");
    await application.query("commit");
  });

  it("is patient for a second only where it keeps another table from the application", async () => {
    await longTransaction();
    const before = performance.now();
    await dba.query("begin");
    await dba.query("select behalf.guard('stock')");
    expect((await refusal(dba.query("select behalf.guard('orders')"))).code).toBe("55P03");
    await dba.query("rollback");
    expect(performance.now() - before).toBeLessThan(2_000);
    await application.query("commit");
  });

  it("takes all tables or none", async () => {
    await longTransaction();
    const both = dba.query(
      "begin; select behalf.lock_tables(array['stock', 'orders']::regclass[])",
    );
    await until(async () => (await sleeping()) === 1);
    // What a failed try had taken is free again: `stock` comes first.
    expect(await worksOn("select from stock")).toBe("done");
    await application.query("commit");
    await both;
    await dba.query("rollback");
  });

  it("waits in each try as long as lock_timeout says, and leaves the setting as it was", async () => {
    await longTransaction();
    const given = dba.query(`
      set lock_timeout = '1800ms';
      begin; select behalf.lock_tables(array['orders']::regclass[])`);
    await until(async () => (await waiting("orders")) === 1);
    // It stands in front of the application, but for less than a deadlock needs to be noticed.
    await other.query("set lock_timeout = '1500ms'");
    const before = performance.now();
    await other.query("select from orders");
    expect(performance.now() - before).toBeLessThan(1_400);
    await until(async () => (await waiting("orders")) === 1);
    await application.query("commit");
    await given;
    const { rows } = await dba.query("show lock_timeout");
    expect(rows).toEqual([{ lock_timeout: "1800ms" }]);
    await dba.query("rollback; reset lock_timeout");
  });
});

describe("removal", () => {
  it("does not wait in front of the application, and removes nothing when it gives up", async () => {
    await using mine = await kitWorld();
    const { admin, names } = mine;
    await admin.query(`
      create policy application on orders to ${names.app} using (true);
      drop policy agents_read on orders;
      create table more (id int); alter table more enable row level security;
      alter table more owner to ${names.app}; select behalf.guard('more');
      create policy application on more to ${names.app} using (true)`);
    const [busy, app] = [await mine.connect(names.app), await mine.connect(names.app)];
    await busy.query("begin; select from orders");
    await using remover = await connect({ database: names.database });
    const remove = async (text: string) => {
      await remover.query("begin");
      await remover.query(text);
      await remover.query("commit");
    };
    const impatient = uninstallText.replace("interval '30 s'", "interval '300 ms'");
    expect(impatient).not.toBe(uninstallText);
    const error = await refusal(remove(impatient));
    await remover.query("rollback");
    expect(error).toMatchObject({ code: "55P03" });
    expect(error.message).toContain("public.orders was in use");
    const guards = "select from pg_policy where polname like 'behalf\\_guard%'";
    expect((await admin.query(guards)).rowCount).toBe(8);

    const removed = remove(uninstallText);
    await until(async () => {
      const { rowCount } = await admin.query(
        "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
      );
      return rowCount === 1;
    });
    // 20 ms: a try holds what it has for less.
    await app.query("set lock_timeout = '20ms'");
    for (let time = 0; time < 20; time += 1) {
      await app.query("insert into orders values ($1, 'acme')", [100 + time]);
      await app.query("insert into more values (1)");
    }
    await busy.query("commit");
    await removed;
    expect((await admin.query(guards)).rowCount).toBe(0);
  });

  it("of 100 guards keeps the tables for less than two seconds", async () => {
    await using mine = await kitWorld();
    await mine.admin.query(`
      drop policy agents_read on orders;
      do $$ begin for i in 1 .. 100 loop
        execute format('create table t%s (id int); alter table t%s enable row level security', i, i);
        perform behalf.guard(format('t%s', i)::regclass);
      end loop; end $$`);
    await using watcher = await connect({ database: mine.names.database });
    await mine.admin.query("begin");
    // The whole script: less of it than this is after the locks.
    const before = performance.now();
    await mine.admin.query(uninstallText);
    const { rows } = await watcher.query<{ n: number }>(
      "select count(*)::int as n from pg_locks where mode = 'AccessExclusiveLock' and granted and relation in (select oid from pg_class where relname ~ '^t[0-9]+$')",
    );
    await mine.admin.query("commit");
    const heldMs = performance.now() - before;
    console.log(`removal of 100 guards: ${Math.round(heldMs)} ms`);
    expect(rows).toEqual([{ n: 100 }]);
    expect(heldMs).toBeLessThan(2_000);
  });
});

/** How many of the kit's functions sleep between two tries. */
async function sleeping(): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
  );
  return (rows[0] as { n: number }).n;
}
