import { sql, type SqlStream, type Statement } from "@behalf/core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure, until } from "../support/failure.ts";
import { watch } from "../support/watched-pool.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 12_000 });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
});

const ORDERS = "select id, org_id, total from orders order by id";
const MANY = "select i, repeat('x', 100) as filler from generate_series(1, 5000000) i";
const inputs: readonly (readonly [string, (text: string) => string | Statement])[] = [
  ["an agent's text", (text) => text],
  [
    "a statement",
    (text) =>
      ({
        [ORDERS]: sql`select id, org_id, total from orders order by id`,
        [MANY]: sql`select i, repeat('x', 100) as filler from generate_series(1, 5000000) i`,
      })[text] ?? sql`select pg_sleep(20)`,
  ],
];

/** What a connection of the world's logins is doing, asked on another one. */
async function activity(): Promise<{ state: string; query: string }[]> {
  const { rows } = await world.admin.query<{ state: string; query: string }>(
    "select state, query from pg_stat_activity where usename in ($1, $2) and state <> 'idle'",
    [world.names.gateway, world.names.statementGateway],
  );
  return rows;
}

const lastOutcome = () => world.records.records.findLast(({ kind }) => kind === "outcome");

describe.each(inputs)("a stream of %s", (_name, input) => {
  it("brings what query brings, with its columns, and is one call on record", async () => {
    const shop = world.adapter();
    const whole = await shop.query(await world.delegate("alice"), input(ORDERS), {
      maxRows: 50_000,
      maxBytes: 50_000_000,
    });
    expect(whole.rows).toHaveLength(12_000);
    const before = world.records.records.length;
    const stream = shop.stream(await world.delegate("alice"), input(ORDERS));
    expect(stream.columns).toEqual([]);
    const rows = await Array.fromAsync(stream);
    expect(rows).toEqual(whole.rows);
    expect(stream.columns).toEqual(whole.columns);
    expect(stream.truncated).toBeNull();
    expect(world.records.records.slice(before)).toMatchObject([
      { kind: "decision", action: "stream", decision: "allow" },
      { kind: "outcome", status: "ok", rows: 12_000, truncated: null },
    ]);
  });

  it.each([
    ["rows", { maxRows: 7 }, 7, 7],
    ["rows", { maxRows: 6_000 }, 6_000, 6_000],
    ["bytes", { maxBytes: 1_000 }, 20, 100],
  ])("stops at its limit of %s: %j", async (why, limit, least, most) => {
    const shop = world.adapter();
    const stream = shop.stream(await world.delegate("alice"), input(ORDERS), limit);
    const rows = await Array.fromAsync(stream);
    expect(stream.truncated).toBe(why);
    expect(rows.length).toBeGreaterThanOrEqual(least);
    expect(rows.length).toBeLessThanOrEqual(most);
    const exact = shop.stream(await world.delegate("alice"), input(ORDERS), { maxRows: 12_000 });
    expect(await Array.fromAsync(exact)).toHaveLength(12_000);
    expect(exact.truncated).toBeNull();
  });

  it("stops the server while its reader does not read", async () => {
    const [pool, statements] = [world.pool({ max: 1 }), world.statementPool({ max: 1 })];
    const seen = [watch(pool), watch(statements)];
    const shop = world.adapter({ pool, statements: { pool: statements } });
    const stream = shop.stream(await world.delegate("alice"), input(MANY));
    const reader = stream[Symbol.asyncIterator]();
    await reader.next();
    const batches = () => seen.reduce((sum, { batches: more }) => sum + more, 0);
    const sent = batches();
    await until(async () => (await activity())[0]?.state === "idle in transaction");
    // Nothing is asked of the server, and it does nothing, for as long as nobody reads on.
    for (let n = 0; n < 5; n++) {
      await world.admin.query("select pg_sleep(0.05)");
      expect((await activity()).map(({ state }) => state)).toEqual(["idle in transaction"]);
    }
    expect(batches()).toBe(sent);
    await reader.return?.();
    expect(await activity()).toEqual([]);
    expect(lastOutcome()).toMatchObject({ status: "ok" });
  });

  it("ends with its reader: by leaving the loop, by an error of the reader's", async () => {
    const [pool, statements] = [world.pool({ max: 1 }), world.statementPool({ max: 1 })];
    const shop = world.adapter({ pool, statements: { pool: statements } });
    for await (const [id] of shop.stream(await world.delegate("alice"), input(MANY))) {
      if (id === 10) break;
    }
    const failing = async () => {
      for await (const [id] of shop.stream(await world.delegate("alice"), input(MANY))) {
        throw new Error(`the reader's own, at row ${String(id)}`);
      }
    };
    await expect(failing()).rejects.toThrow("the reader's own, at row 1");
    // The one connection is free again, and Bob's.
    const { rows } = await shop.query(await world.delegate("bob"), input(ORDERS), { maxRows: 1 });
    expect(rows[0]?.[1]).toBe("globex");
  });

  it("is stopped by its signal and its deadline, also while nobody reads", async () => {
    const shop = world.adapter();
    const leaving = new AbortController();
    for (const [options, code] of [
      [{ signal: leaving.signal }, "cancelled"],
      [{ deadlineMs: 500 }, "timeout"],
    ] as const) {
      const stream = shop.stream(await world.delegate("alice"), input(ORDERS), options);
      const reader = stream[Symbol.asyncIterator]();
      await reader.next();
      leaving.abort();
      await until(() => {
        const outcome = lastOutcome();
        return outcome?.kind === "outcome" && outcome.status === "error" && outcome.code === code;
      });
      // Rows that are here already are not handed out any more either.
      expect((await failure(reader.next())).code).toBe(code);
      await until(async () => (await activity()).length === 0);
    }
    const slow = shop.stream(await world.delegate("alice"), input("select pg_sleep(20)"), {
      signal: AbortSignal.timeout(200),
    });
    expect((await failure(Array.fromAsync(slow))).code).toBe("cancelled");
    await until(async () => (await activity()).length === 0);
  });

  it("ends at the next page when the human's access is withdrawn", async () => {
    const shop = world.adapter();
    const rows = shop.stream(await world.delegate("dan"), input(MANY));
    let seen = 0;
    const error = await failure(
      (async () => {
        for await (const row of rows) {
          seen += row.length / 2;
          if (seen === 1) {
            await world.admin.query("select behalf.revoke($1, 'dan')", [world.idp.issuer]);
          }
        }
      })(),
    );
    expect(error.code).toBe("identity.revoked");
    expect(seen).toBeLessThan(20_000);
    await world.admin.query("select behalf.reinstate($1, 'dan')", [world.idp.issuer]);
    // And at once when the adapter is told.
    const reader = shop.stream(await world.delegate("dan"), input(MANY))[Symbol.asyncIterator]();
    await reader.next();
    await shop.invalidate({ issuer: world.idp.issuer, subject: "dan" });
    await until(async () => (await activity()).length === 0);
    expect((await failure(reader.next())).code).toBe("identity.revoked");
  });

  it("has its timeouts armed anew for each page, whatever a text set them to", async () => {
    const shop = world.adapter();
    const timeouts =
      "select current_setting('statement_timeout'), case when i = 1 then set_config('statement_timeout', '0', true) end from generate_series(1, 12000) i";
    const seen = new Set<unknown>();
    for await (const [timeout] of shop.stream(await world.delegate("alice"), timeouts)) {
      seen.add(timeout);
    }
    expect(seen.size).toBeGreaterThan(2);
  });

  it("can be read once", async () => {
    const shop = world.adapter();
    const stream: SqlStream = shop.stream(await world.delegate("alice"), input(ORDERS));
    await Array.fromAsync(stream);
    expect(await failure(Array.fromAsync(stream))).toMatchObject({ reason: "stream_read_twice" });
  });

  it("reads 5,000,000 rows in flat memory on both sides", { timeout: 240_000 }, async () => {
    const shop = world.adapter();
    const limits = { deadlineMs: 200_000 };
    const stream = shop.stream(await world.delegate("alice"), input(MANY), limits);
    let rows = 0;
    let last: unknown;
    let client = 0;
    let server = 0;
    const memory = async () => {
      client = Math.max(client, process.memoryUsage().rss);
      // The backend's own count of its memory, by the operating system where it can be asked.
      const { rows: backends } = await world.admin.query<{ bytes: string }>(
        `select coalesce((select split_part(l, ':', 2) from regexp_split_to_table(
             pg_read_file('/proc/' || pid || '/status'), E'\\n') l where l like 'RssAnon:%'), '0 kB') as bytes
           from pg_stat_activity where usename in ($1, $2) and state <> 'idle'`,
        [world.names.gateway, world.names.statementGateway],
      );
      for (const { bytes } of backends)
        server = Math.max(server, Number.parseInt(bytes, 10) * 1024);
    };
    let atTenth = { client: 0, server: 0 };
    for await (const row of stream) {
      rows += 1;
      if (rows % 250_000 === 0) await memory();
      if (rows === 500_000) atTenth = { client, server };
      last = row[0];
    }
    expect([rows, last]).toEqual([5_000_000, 5_000_000]);
    // 5,000,000 rows are 600 MB of text. What was there after a tenth may grow by the noise of the collector.
    expect(client - atTenth.client).toBeLessThan(128 * 1024 * 1024);
    expect(server - atTenth.server).toBeLessThan(16 * 1024 * 1024);
  });
});

it("ends at once where there is nothing to run", async () => {
  const shop = world.adapter();
  expect(
    await Array.fromAsync(shop.stream(await world.delegate("alice"), sql`-- nothing`)),
  ).toEqual([]);
});
