import { sql, type Delegation, type SqlAdapter } from "@behalf/core";
import { syncKeys } from "@behalf/postgres";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import { type Human, HUMANS, makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
});
afterAll(() => world?.[Symbol.asyncDispose]());

const rotate = () => world.admin.query("select behalf.rotate_secrets()");
const ORGS = "select org_id from orders limit 50";
const humans = Object.keys(HUMANS) as Human[];

/** Every way to call, each answering which organisations it saw. */
const WAYS: readonly ((shop: SqlAdapter, delegation: Delegation) => Promise<unknown[]>)[] = [
  async (shop, delegation) => (await shop.query(delegation, ORGS)).rows.flat(),
  async (shop, delegation) =>
    (await shop.query(delegation, sql`select org_id from orders limit ${50}`)).rows.flat(),
  async (shop, delegation) =>
    (
      await shop.query(
        delegation,
        "update orders set note = note where id % 1000000 = 7 returning org_id",
        { access: "write" },
      )
    ).rows.flat(),
  async (shop, delegation) => {
    const seen: unknown[] = [];
    for await (const row of shop.stream(delegation, ORGS)) seen.push(...row);
    return seen;
  },
  (shop, delegation) =>
    shop.run(delegation, async (session) => {
      const first = await session.query(ORGS);
      return [...first.rows.flat(), ...(await session.query(ORGS)).rows.flat()];
    }),
];

/** Eight callers without a pause, for four humans, in every mode, over two pools. */
function load(first: SqlAdapter) {
  let shop = first;
  const over = new AbortController();
  let calls = 0;
  const failures: unknown[] = [];
  const foreign: unknown[] = [];
  let short = 0;
  const tokens = new Map<Human, string>();
  const waiting = new Set<() => void>();
  const signIn = async () => {
    for (const human of humans) tokens.set(human, await world.token(human));
  };

  async function caller(number: number): Promise<void> {
    for (let turn = number; !over.signal.aborted; turn += 1) {
      const human = humans[turn % humans.length] ?? "alice";
      const way = WAYS[turn % WAYS.length] ?? WAYS[0];
      try {
        const delegation = await world.front.delegate(tokens.get(human) ?? "");
        const seen = (await way?.(shop, delegation)) ?? [];
        foreign.push(...seen.filter((org) => org !== HUMANS[human].org));
        if (seen.length === 0) short += 1;
      } catch (error) {
        failures.push(error instanceof Error ? error.message : error);
      }
      calls += 1;
      for (const wake of waiting) wake();
    }
  }
  let callers: Promise<void>[] = [];
  return {
    async start() {
      await signIn();
      callers = Array.from({ length: 8 }, (_, number) => caller(number));
    },
    signIn,
    use(next: SqlAdapter) {
      shop = next;
    },
    /** Until so many calls have ended that no one of them can have begun before now. */
    async pass() {
      const end = calls + 40;
      await new Promise<void>((resolve) => {
        const check = () => {
          if (calls < end) return;
          waiting.delete(check);
          resolve();
        };
        waiting.add(check);
      });
    },
    async stop() {
      over.abort();
      await Promise.all(callers);
      return { calls, failures: [...new Set(failures)], foreign: [...new Set(foreign)], short };
    },
  };
}

it("rotates secrets, the password and the login under load: no call fails, none is short, none sees another's row", async () => {
  let password = world.passwords.gateway;
  const { gateway } = world.names;
  const pool = world.pool({
    connectionString: undefined,
    ...connection(gateway),
    // Asked for each new connection.
    password: () => password,
    max: 4,
  });
  const shop = world.adapter({ pool });
  const calling = load(shop);
  await calling.start();
  await calling.pass();

  // The database's own secrets: one rotation for each time that all calls have passed.
  for (let round = 0; round < 6; round += 1) {
    await rotate();
    await calling.pass();
  }

  // The issuer's keys cannot be fetched for a while: those that are there stay good.
  const keysync = new pg.Client({
    connectionString: world.url({ user: world.names.keysync, password: world.passwords.keysync }),
  });
  await keysync.connect();
  const down = async () => new Response("", { status: 503 });
  const sync = syncKeys({ client: keysync, issuer: world.idp.issuer, fetch: down });
  expect((await failure(sync)).code).toBe("identity.unavailable");
  await keysync.end();
  await calling.pass();

  // The password of the login: connections that are there stay.
  await world.admin.query(`alter role ${gateway} password 'the-next'`);
  password = "the-next";
  await calling.pass();
  // New ones take the new one.
  expect(pool.totalCount).toBe(4);
  pool.options.maxUses = 1;
  await calling.pass();

  // Another login in place of the first, which is then removed.
  const next = `${gateway}_next`;
  await world.admin.query(`create role ${next} login noinherit password 'x';
    select behalf.add_gateway('${next}', writes => true)`);
  try {
    const successor = world.adapter({
      pool: world.pool({ ...connection(next), connectionString: undefined, password: "x" }),
    });
    calling.use(successor);
    await calling.pass();
    await calling.pass();
    await shop.close();
    await world.admin.query(`select behalf.remove_gateway('${gateway}')`);
    await calling.pass();
    const { calls, failures, foreign, short } = await calling.stop();
    expect({ failures, foreign, short }).toEqual({ failures: [], foreign: [], short: 0 });
    expect(calls).toBeGreaterThan(500);
    await successor.close();
  } finally {
    await calling.stop();
    await world.admin.query(`select behalf.remove_gateway('${next}');
      select behalf.add_gateway('${gateway}', writes => true);
      alter role ${gateway} password '${world.passwords.gateway}'; drop role ${next}`);
  }
});

/** Without its password, which changes. */
function connection(user: string): pg.PoolConfig {
  const { hostname, port, pathname } = new URL(world.url());
  return { host: hostname, port: Number(port), database: pathname.slice(1), user };
}

describe("a call that is under way when the secrets rotate", () => {
  it("goes on as its human, in a run and in a stream", async () => {
    const shop = world.adapter();
    const run = await shop.run(await world.delegate("alice"), async (session) => {
      const before = await session.query(ORGS);
      await rotate();
      return [before.rows.length, (await session.query(ORGS)).rows];
    });
    expect(run).toEqual([50, Array.from({ length: 50 }, () => ["acme"])]);

    const rows: unknown[] = [];
    // Pages end by their bytes, too.
    const text = "select org_id, repeat('x', 100000) from orders";
    const stream = shop.stream(await world.delegate("bob"), text);
    for await (const [org] of stream) {
      rows.push(org);
      if (rows.length === 15) await rotate();
    }
    expect(rows).toEqual(Array.from({ length: 100 }, () => "globex"));
  });

  it("is refused when they rotate twice, with a reason, and the next call works", async () => {
    const shop = world.adapter();
    for (const text of [ORGS, sql`select org_id from orders limit 50`]) {
      const call = shop.run(await world.delegate("alice"), async (session) => {
        await session.query(text);
        await rotate();
        await rotate();
        return session.query(text);
      });
      expect(await failure(call)).toMatchObject({ code: "identity.rejected", reason: "seal" });
      expect((await shop.query(await world.delegate("alice"), text)).rows).toHaveLength(50);
    }
  });
});
