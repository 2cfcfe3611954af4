import { Secret, type SqlSession } from "@behalf/core";
import type pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure, until } from "../support/failure.ts";
import { tcpProxy } from "../support/tcp-proxy.ts";
import { watch } from "../support/watched-pool.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

/** One token for all calls of a human, as `passthrough` would hand it out. */
async function sameToken(human: string) {
  const token = new Secret(await world.databaseToken(human));
  const dropped: unknown[] = [];
  const credential = { token, expiresAtMs: Date.now() + 60_000, audience: "urn:example:database" };
  return {
    dropped,
    credential: async () => credential,
    invalidate: (who: unknown) => void dropped.push(who),
  };
}

it("narrows each call to its own task, although all share one token and one ticket", async () => {
  const shop = world.adapter({ credentials: await sameToken("alice") });
  const bearer = await world.token("alice");
  const count = async (object?: string) => {
    const delegation = await world.front.delegate(
      bearer,
      object === undefined
        ? {}
        : {
            task: {
              id: `task ${object}`,
              expiresAtMs: Date.now() + 60_000,
              authorizationDetails: [{ type: "table", actions: ["read"], objects: [object] }],
            },
          },
    );
    const text = "select count(*)::int from orders";
    const { rows } = await shop.query(delegation, text);
    const again = await shop.run(delegation, (session) => session.query(text));
    expect(again.rows).toEqual(rows);
    return rows[0]?.[0];
  };
  expect([
    await count(),
    await count("public.orders"),
    await count("public.other"),
    await count(),
  ]).toEqual([100, 100, 0, 100]);
});

it("does not let a human choose what random() says to the next one", async () => {
  const shop = world.adapter({ pool: world.pool({ max: 1 }) });
  const bob: unknown[] = [];
  for (let n = 0; n < 2; n++) {
    await shop.query(await world.delegate("alice"), "select setseed(0.5)");
    bob.push((await shop.query(await world.delegate("bob"), "select random()")).rows[0]?.[0]);
    await shop.run(await world.delegate("alice"), (session) =>
      session.query("select setseed(0.5)"),
    );
    bob.push((await shop.query(await world.delegate("bob"), "select random()")).rows[0]?.[0]);
  }
  expect(new Set(bob).size).toBe(4);
});

it.each([
  "select set_config('app.left', 'x', true)",
  `select U&"set\\005Fconfig"('app.left', 'x', true)`,
  "select query_to_xml('select set' || $$_config('app.left', 'x', true)$$, true, true, '')",
])("leaves the next human no name of a setting that somebody made up: %s", async (text) => {
  // NULL where nobody named it, and the empty string once somebody did, however the transaction ended.
  const asked = "select current_setting('app.left', true)";
  const raw = world.pool({ max: 1 });
  await raw.query("begin read only");
  await raw.query(text);
  await raw.query("rollback");
  expect((await raw.query(asked)).rows).toEqual([{ current_setting: "" }]);

  const shop = world.adapter({ pool: world.pool({ max: 1 }) });
  for (const access of ["read", "write"] as const) {
    const alice = await world.delegate("alice");
    await shop.query(alice, text, { access });
    expect((await shop.query(await world.delegate("bob"), asked)).rows).toEqual([[null]]);
    await shop.run(alice, (session) => session.query(text), { access });
    expect((await shop.query(await world.delegate("bob"), asked)).rows).toEqual([[null]]);
  }
  for await (const row of shop.stream(await world.delegate("alice"), text))
    expect(row).toBeDefined();
  expect((await shop.query(await world.delegate("bob"), asked)).rows).toEqual([[null]]);
});

it("takes back the locks of a run that went well", async () => {
  const shop = world.adapter({ pool: world.pool({ max: 1 }) });
  await shop.run(await world.delegate("alice"), (session) =>
    session.query("select pg_advisory_lock(4711)"),
  );
  const { rows } = await world.admin.query(
    "select from pg_locks where locktype = 'advisory' and objid = 4711",
  );
  expect(rows).toHaveLength(0);
});

it("sends nothing for a session whose run has thrown or was stopped", async () => {
  const pool = world.pool({ max: 1 });
  const seen = watch(pool);
  const shop = world.adapter({ pool });
  let kept: SqlSession | undefined;
  const late: Promise<unknown>[] = [];
  await expect(
    shop.run(await world.delegate("alice"), async (session) => {
      await session.query("select 1");
      late.push(failure(session.query("select 2")));
      throw new Error("gave up");
    }),
  ).rejects.toThrow("gave up");
  for (const error of await Promise.all(late)) expect(error).toMatchObject({ code: "closed" });
  await shop
    .run(await world.delegate("alice"), async (session) => {
      kept = session;
      await session.query("select 1");
      throw new Error("gave up");
    })
    .catch(() => {});
  const before = seen.batches;
  expect((await failure(kept?.query("select 3") as Promise<unknown>)).code).toBe("closed");
  expect(seen.batches).toBe(before);

  const stop = new AbortController();
  let sent = 0;
  const further = Promise.withResolvers<unknown>();
  const stopped = await failure(
    shop.run(
      await world.delegate("alice"),
      async (session) => {
        await session.query("select 1");
        sent = seen.batches;
        stop.abort();
        further.resolve(failure(session.query("select 2")));
      },
      { signal: stop.signal },
    ),
  );
  expect(stopped.code).toBe("cancelled");
  await further.promise;
  // The clean-up is one batch.
  expect(seen.batches - sent).toBeLessThanOrEqual(1);
});

it("asks for the proof anew after invalidate, also where an answer was on its way", async () => {
  const pool = world.pool({ max: 1 });
  const seen = watch(pool);
  const credentials = await sameToken("alice");
  const shop = world.adapter({ pool, credentials });
  const alice = { issuer: world.idp.issuer, subject: "alice" };
  const ask = async () => shop.query(await world.delegate("alice"), "select 1");
  await ask();
  await ask();
  await shop.invalidate(alice);
  expect(credentials.dropped).toEqual([alice]);
  seen.onReady = () => {
    seen.onReady = () => {};
    void shop.invalidate(alice);
  };
  await ask().catch(() => {});
  await ask();
  expect(seen.proofs).toEqual(["eyJh", "bt1.", "eyJh", "eyJh"]);
});

it("keeps its connection after an error, and cuts it when the clean-up gets no answer", async () => {
  const { hostname, port } = new URL(inject("postgresUrl"));
  await using proxy = await tcpProxy({ host: hostname, port: Number(port) });
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
    max: 1,
  });
  let made = 0;
  pool.on("connect", () => (made += 1));
  const seen = watch(pool);
  const shop = world.adapter({ pool });
  for (let n = 0; n < 3; n++) {
    await failure(shop.query(await world.delegate("alice"), "select nope"));
    await shop.query(await world.delegate("bob"), "select 1");
  }
  expect(made).toBe(1);

  seen.onError = () => proxy.mode("hold");
  const delegation = await world.delegate("alice");
  const before = performance.now();
  const error = await failure(shop.query(delegation, "select 1 / 0", { deadlineMs: 200 }));
  expect(error.nativeCode).toBe("22012");
  expect(performance.now() - before).toBeLessThan(600);
  seen.onError = () => {};
  proxy.mode("pass");
  const { rows } = await shop.query(
    await world.delegate("bob"),
    "select distinct org_id from orders",
  );
  expect(rows).toEqual([["globex"]]);
  expect(made).toBe(2);
});

it("lets the server end a statement at the deadline, in a query and in a run", async () => {
  const shop = world.adapter();
  await shop.query(await world.delegate("alice"), "select 1");
  const sleep = "select pg_sleep(20)";
  const options = { deadlineMs: 500 };
  const query = await failure(shop.query(await world.delegate("alice"), sleep, options));
  expect(query).toMatchObject({ code: "timeout", nativeCode: "57014" });
  const run = await failure(
    shop.run(
      await world.delegate("alice"),
      async (session) => {
        await session.query("select set_config('statement_timeout', '0', true)");
        await session.query(sleep);
      },
      options,
    ),
  );
  expect(run).toMatchObject({ code: "timeout", nativeCode: "57014" });
  const one = await failure(
    shop.run(await world.delegate("alice"), (session) => session.query(sleep, { deadlineMs: 200 })),
  );
  expect(one).toMatchObject({ code: "timeout", nativeCode: "57014" });
});

it("does not work for agents while the database is not ready, and does once it is", async () => {
  await world.admin.query(
    `create table bare (); create table open_table (id int); grant select on open_table to ${world.names.agent}`,
  );
  const shop = world.adapter();
  const error = await failure(shop.query(await world.delegate("alice"), "select 1"));
  expect(error).toMatchObject({ code: "configuration", reason: "preflight" });
  expect(error.message).toContain("open_table");
  await world.admin.query("drop table open_table");
  expect((await shop.query(await world.delegate("alice"), "select 1")).rows).toEqual([[1]]);
});

it("stops nobody of the same name at another issuer", async () => {
  const shop = world.adapter();
  await shop.query(await world.delegate("alice"), "select 1");
  const running = shop.query(await world.delegate("alice"), "select pg_sleep(0.4)");
  setTimeout(
    () => void shop.invalidate({ issuer: "https://other.example", subject: "alice" }),
    150,
  );
  expect((await running).rows).toHaveLength(1);
});

it("counts bytes to the last one", async () => {
  const shop = world.adapter();
  const text = "select repeat('x', 98)"; // 100 bytes, with the parentheses
  const fits = await shop.query(await world.delegate("alice"), text, { maxBytes: 100 });
  expect(fits).toMatchObject({ truncated: null, rows: [["x".repeat(98)]] });
  const not = await shop.query(await world.delegate("alice"), text, { maxBytes: 99 });
  expect(not).toMatchObject({ truncated: "bytes", rows: [] });
  const delegation = await world.delegate("alice");
  await shop.query(delegation, "select 'é'");
  const records = world.records.records.filter(({ id }) => id === delegation.callId);
  expect(records[0]).not.toHaveProperty("statement");
  expect(records[1]).toMatchObject({
    rows: 1,
    bytes: 4,
    native: { role: world.names.agent, backendStart: expect.stringMatching(/^\d{4}-.*Z$/) },
  });
});

it("maps what happens to the connection at the end of a run, and passes on what the callback throws", async () => {
  const shop = world.adapter();
  const lost = await failure(
    shop.run(await world.delegate("alice"), async (session) => {
      const { native } = await session.whoAmI();
      await world.admin.query("select pg_terminate_backend($1)", [native["pid"]]);
      await until(async () => {
        const { rows } = await world.admin.query("select from pg_stat_activity where pid = $1", [
          native["pid"],
        ]);
        return rows.length === 0;
      });
    }),
  );
  expect(lost).toMatchObject({ code: "backend.unavailable", backend: "postgres" });
  expect(lost.callId).toBeDefined();

  const mine = new Error("mine");
  const stop = new AbortController();
  const thrown: unknown = await shop
    .run(
      await world.delegate("alice"),
      async () => {
        queueMicrotask(() => stop.abort());
        throw mine;
      },
      { signal: stop.signal },
    )
    .catch((error: unknown) => error);
  // Which of the two came first is open; that the connection was lost is neither.
  expect([mine, expect.objectContaining({ code: "cancelled" })]).toContainEqual(thrown);
});

it("says what failed when a part that it was given fails, and nothing of its message", async () => {
  const parser = world.adapter({
    pool: world.pool({
      types: {
        getTypeParser: () => (text: string) => {
          throw new Error(`bad ${text}`);
        },
      },
    }),
  });
  const error = await failure(parser.query(await world.delegate("alice"), "select 'a value'"));
  expect(error).toMatchObject({ code: "configuration", reason: "type_parser" });
  expect(error.message).not.toContain("a value");
  const source = world.adapter({
    credentials: {
      credential: async () => {
        throw new Error("token eyJ");
      },
      invalidate: () => {},
    },
  });
  const failed = await failure(source.query(await world.delegate("alice"), "select 1"));
  expect(failed).toMatchObject({ code: "identity.unavailable", reason: "unexpected" });
  expect(failed.message).not.toContain("eyJ");
});

it("lives with a query_timeout of the pool: no timer stays, and what it ends is stopped at the server", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const shop = world.adapter({ pool: world.pool({ max: 1, query_timeout: 700 }) });
  await shop.query(await world.delegate("alice"), "select 1");
  const before = timers();
  for (let n = 0; n < 20; n++) await shop.query(await world.delegate("alice"), "select 1");
  expect(timers()).toBeLessThan(before + 10);
  await failure(shop.query(await world.delegate("alice"), "select pg_sleep(20)"));
  await until(async () => {
    const { rows } = await world.admin.query(
      "select from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'",
      [world.names.gateway],
    );
    return rows.length === 0;
  });
});

it("refuses clients that do not show their connection", async () => {
  const client = { query: () => {}, release: () => {}, on: () => {}, removeListener: () => {} };
  const shop = world.adapter({ pool: { connect: async () => client, on: () => {} } as never });
  const error = await failure(shop.query(await world.delegate("alice"), "select 1"));
  expect(error).toMatchObject({ code: "configuration", reason: "pool" });
});

describe("a pool that somebody else uses", () => {
  const refused = { code: "configuration", reason: "pool_shared" };

  it("is refused when another adapter has it, until that one is closed", async () => {
    const pool = world.pool({ max: 1 });
    const first = world.adapter({ pool });
    expect(() => world.adapter({ pool })).toThrow(expect.objectContaining(refused));
    await first.query(await world.delegate("bob"), "select 1");
    await first.close();
    const second = world.adapter({ pool });
    expect((await second.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
  });

  it("is refused when it has connections already", async () => {
    const pool = world.pool({ max: 1 });
    await pool.query("select 1");
    expect(() => world.adapter({ pool })).toThrow(expect.objectContaining(refused));
  });

  it.each([
    ["query", async (pool: pg.Pool) => void (await pool.query("select 1"))],
    ["connect", async (pool: pg.Pool) => (await pool.connect()).release()],
  ])("is refused from the call on that follows somebody's pool.%s()", async (_name, use) => {
    const pool = world.pool({ max: 2 });
    const shop = world.adapter({ pool });
    expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
    await use(pool);
    expect(await failure(shop.query(await world.delegate("bob"), "select 1"))).toMatchObject(
      refused,
    );
  });

  it.each<readonly [string, pg.PoolConfig]>([
    ["whose connections have a lifetime", { maxLifetimeSeconds: 1 }],
    ["whose idle connections are closed", { idleTimeoutMillis: 50 }],
  ])("is not what the pool's own housekeeping looks like: one %s", async (_name, config) => {
    const pool = world.pool({ max: 2, ...config });
    const shop = world.adapter({ pool });
    await shop.query(await world.delegate("bob"), "select 1");
    await until(() => pool.totalCount === 0);
    for (const human of ["bob", "alice"]) {
      expect((await shop.query(await world.delegate(human), "select 1")).rows).toEqual([[1]]);
    }
  });

  it("is not what a connection that the pool itself refuses looks like", async () => {
    let isRefusing = true;
    const verify = (_client: unknown, done: (error?: Error) => void) =>
      done(isRefusing ? new Error("not this one") : undefined);
    const pool = world.pool({ max: 2, verify });
    const shop = world.adapter({ pool });
    await failure(shop.query(await world.delegate("bob"), "select 1"));
    isRefusing = false;
    expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
  });
});
