import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure, until } from "../support/failure.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const LONG = "select pg_sleep(30)";

const sleeping = async () => {
  const { rows } = await world.admin.query<{ n: number }>(
    "select count(*)::int as n from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'",
    [world.names.gateway],
  );
  return rows[0]?.n;
};

/** Sixteen long statements of Alice's, given up when the scope ends. */
async function sixteen(shop: ReturnType<World["adapter"]>) {
  const leaving = new AbortController();
  const calls = await Promise.all(
    Array.from({ length: 16 }, async () =>
      shop.query(await world.delegate("alice"), LONG, { signal: leaving.signal }),
    ).map((call) => Promise.resolve([call])),
  );
  const settled = calls.map(async ([call]) => call?.catch(() => {}));
  return {
    calls: calls.length,
    async [Symbol.asyncDispose]() {
      leaving.abort();
      await Promise.all(settled);
    },
  };
}

describe("one human who holds 16 long statements", () => {
  it("holds a quarter of the connections, and delays nobody else", async () => {
    const shop = world.adapter({ pool: world.pool({ max: 8 }) });
    await using long = await sixteen(shop);
    expect(long.calls).toBe(16);
    await until(async () => (await sleeping()) === 2);
    // Long before any of the 16 ends: they take 30 s each.
    for (let n = 0; n < 20; n++) {
      expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
    }
    expect(await sleeping()).toBe(2);
  });

  it("would hold them all without the limit", async () => {
    const shop = world.adapter({ pool: world.pool({ max: 8 }), maxConnectionsPerHuman: 8 });
    await using long = await sixteen(shop);
    expect(long.calls).toBe(16);
    await until(async () => (await sleeping()) === 8);
    const late = await failure(
      shop.query(await world.delegate("bob"), "select 1", { deadlineMs: 300 }),
    );
    expect(late.code).toBe("timeout");
  });

  it("is served in turn with the others who wait, not before them", async () => {
    const shop = world.adapter({ pool: world.pool({ max: 1 }) });
    const order: string[] = [];
    const tokens = new Map<string, string>();
    const ask = async (human: string, text = "select 1") => {
      const token = tokens.get(human) ?? (await world.token(human));
      const delegation = await world.front.delegate(token);
      return () => shop.query(delegation, text).then(() => order.push(human));
    };
    // With everybody's credential at hand, calls reach the queue in the order in which they are made.
    for (const human of ["alice", "bob", "carol"]) {
      tokens.set(human, await world.token(human));
      await (
        await ask(human)
      )();
    }
    order.length = 0;
    const first = await ask("alice", "select pg_sleep(0.3)");
    const alices = await Promise.all(Array.from({ length: 5 }, () => ask("alice")));
    const others = [await ask("bob"), await ask("carol")];
    const all = [first(), ...alices.map((call) => call()), ...others.map((call) => call())];
    await Promise.all(all);
    expect(order.indexOf("bob")).toBeLessThanOrEqual(2);
    expect(order.indexOf("carol")).toBeLessThanOrEqual(3);
    expect(order).toHaveLength(8);
  });

  it("is refused further calls beyond a limit, with a code, a record, and without a queue", async () => {
    const shop = world.adapter({ pool: world.pool({ max: 4 }), maxCallsPerHuman: 3 });
    const leaving = new AbortController();
    const held = await Promise.all(
      [1, 2, 3].map(async () => {
        const delegation = await world.delegate("alice");
        return [shop.query(delegation, LONG, { signal: leaving.signal }).catch(() => {})];
      }),
    );
    await until(async () => (await sleeping()) === 1);
    const error = await failure(shop.query(await world.delegate("alice"), "select 1"));
    expect(error).toMatchObject({ code: "limit.exceeded", reason: "calls_per_human" });
    const records = world.records.records.filter(({ id }) => id === error.callId);
    expect(records).toMatchObject([
      { kind: "decision" },
      { kind: "outcome", status: "error", code: "limit.exceeded" },
    ]);
    expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
    leaving.abort();
    await Promise.all(held.flat());
    expect((await shop.query(await world.delegate("alice"), "select 1")).rows).toEqual([[1]]);
  });

  it("gives its place in the queue back when it gives up waiting", async () => {
    const shop = world.adapter({ pool: world.pool({ max: 1 }) });
    const leaving = new AbortController();
    const delegation = await world.delegate("alice");
    const long = shop.query(delegation, LONG, { signal: leaving.signal }).catch(() => {});
    await until(async () => (await sleeping()) === 1);
    const given = await Promise.all(
      [1, 2, 3, 4].map(async () =>
        failure(shop.query(await world.delegate("bob"), "select 1", { deadlineMs: 200 })),
      ),
    );
    expect(given.map(({ code }) => code)).toEqual(["timeout", "timeout", "timeout", "timeout"]);
    leaving.abort();
    await long;
    expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
  });
});

it("serves 16 at a time without one failure", async () => {
  const shop = world.adapter();
  const humans = ["alice", "bob", "carol", "dan"];
  const failed: unknown[] = [];
  await Promise.all(
    Array.from({ length: 16 }, async (_, n) => {
      const token = await world.token(humans[n % 4] as string);
      for (let call = 0; call < 50; call++) {
        await shop
          .query(await world.front.delegate(token), "select * from orders limit 20")
          .catch((error: unknown) => failed.push(error));
      }
    }),
  );
  expect(failed).toEqual([]);
});
