import { once } from "node:events";
import http, { createServer } from "node:http";

import { delegator } from "@behalf/core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { until } from "../support/failure.ts";
import {
  currentRequest,
  REVISIONS,
  startGateway,
  toolAnswer,
  type GatewayWorld,
} from "../support/gateway-world.ts";
import { GATEWAY, makeWorld, type World } from "../support/world.ts";

let world: World;
let served: GatewayWorld;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  served = await startGateway(world, { database: world.adapter({ pool: world.pool({ max: 8 }) }) });
  // Long statements say who they are, so that the server can be asked for them.
  await world.admin.query(`
    create function hold(name text, seconds float8) returns text language sql as
      $$ select pg_sleep(seconds)::text || name $$;
    create function fail_with_detail() returns int language plpgsql as $$
      begin
        raise exception using errcode = '23505', message = 'duplicate key value',
          detail = 'Key (ssn)=(078-05-1120) already exists.';
      end $$;
  `);
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

/** How many sleep at the server. */
async function sleeping(): Promise<number> {
  const { rows } = await world.admin.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
     where datname = $1 and usename = $2 and wait_event = 'PgSleep'`,
    [world.names.database, world.names.gateway],
  );
  return rows[0]?.n ?? 0;
}

const hold = (seconds: number) => ({ sql: `select hold('held', ${seconds})` });

describe.each(REVISIONS)("when a client of %s goes away", (revision) => {
  it("its statement is cancelled at the server", async () => {
    const client = await served.client("alice", revision);
    const call = client
      .callTool({ name: "query", arguments: hold(30) })
      .catch((error: unknown) => error);
    await until(async () => (await sleeping()) === 1);
    await client.close();
    await until(async () => (await sleeping()) === 0);
    await call;
    const recorded = until(() => {
      const last = world.records.records.findLast(({ kind }) => kind === "outcome");
      return last?.kind === "outcome" && last.code === "cancelled";
    });
    await expect(recorded).resolves.toBeUndefined();
  });
});

it("lets nobody cancel another's call by guessing its id", async () => {
  const [alice, bob] = [await world.token("alice"), await world.token("bob")];
  const call = served.call(alice, "query", hold(0.5));
  await until(async () => (await sleeping()) === 1);
  const { headers } = currentRequest("notifications/cancelled");
  for (const requestId of Array.from({ length: 300 }, (_, n) => n)) {
    const answer = await served.send({
      body: { jsonrpc: "2.0", method: "notifications/cancelled", params: { requestId } },
      headers: { ...headers, authorization: `Bearer ${bob}` },
    });
    expect(answer.status).toBe(202);
  }
  expect(toolAnswer((await call).json()["result"])["rows"]).toEqual([["held"]]);
});

it("gives each of many requests with one id its own answer", async () => {
  const tokens = [await world.token("alice"), await world.token("bob")];
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      served.call(tokens[n % 2], "query", { sql: `select ${n}, min(org_id) from orders` }),
    ),
  );
  for (const [n, answer] of answers.entries()) {
    expect(answer.json()["id"]).toBe(1);
    expect(toolAnswer(answer.json()["result"])["rows"]).toEqual([
      [n, n % 2 === 0 ? "acme" : "globex"],
    ]);
  }
});

it("ends a call at its deadline, and says so", async () => {
  await using hasty = await startGateway(world, { limits: { deadlineMs: 100 } });
  const answer = await hasty.call(await world.token("alice"), "query", hold(30));
  expect(toolAnswer(answer.json()["result"])["error"]).toMatchObject({
    code: "timeout",
    retry: false,
  });
});

it("keeps the values of other rows, which DETAIL can hold, to itself", async () => {
  const sql = "select fail_with_detail()";
  const answer = await served.call(await world.token("alice"), "query", { sql });
  expect(toolAnswer(answer.json()["result"])["error"]).toMatchObject({ sqlstate: "23505" });
  expect(answer.text).not.toContain("078-05-1120");
});

it("takes no more requests at once than it is allowed to", async () => {
  await using narrow = await startGateway(world, { limits: { concurrentRequests: 1 } });
  const token = await world.token("alice");
  const call = narrow.call(token, "query", hold(0.3));
  await until(async () => (await sleeping()) === 1);
  const refused = await narrow.call(token, "query", { sql: "select 1" });
  expect(refused.status).toBe(503);
  expect(refused.headers["retry-after"]).toBe("1");
  expect((await call).status).toBe(200);
  expect((await narrow.call(token, "query", { sql: "select 1" })).status).toBe(200);
});

describe("while proofs take long to look at", () => {
  /** A gateway whose issuer answers when it is let. */
  async function slow(limits: { readonly requestsPerHuman?: number } = {}) {
    let gate = Promise.resolve();
    const front = delegator({
      verifier: {
        issuers: [{ issuer: world.idp.issuer }],
        audience: GATEWAY,
        fetch: async (...request) => {
          await gate;
          return fetch(...request);
        },
      },
      records: world.records,
    });
    const gateway = await startGateway(world, { front, limits });
    return Object.assign(gateway, {
      hold() {
        const { promise, resolve } = Promise.withResolvers<void>();
        gate = promise;
        return resolve;
      },
    });
  }

  it("gives the places of clients back that leave meanwhile", async () => {
    await using slowly = await slow({ requestsPerHuman: 4 });
    const release = slowly.hold();
    const alice = await world.token("alice");
    const leaving = new AbortController();
    const given = Array.from({ length: 8 }, () =>
      slowly.call(alice, "query", { sql: "select 1" }, leaving.signal).catch(() => "left"),
    );
    await new Promise(setImmediate);
    leaving.abort();
    expect(new Set(await Promise.all(given))).toEqual(new Set(["left"]));
    release();
    for (let n = 0; n < 6; n++) {
      expect((await slowly.call(alice, "query", { sql: "select 1" })).status).toBe(200);
    }
  });

  it("serves the human whose proof is at hand, whoever floods it with unknown keys", async () => {
    await using slowly = await slow();
    const alice = await world.token("alice");
    expect((await slowly.call(alice, "query", { sql: "select 1" })).status).toBe(200);
    const release = slowly.hold();
    const [, payload, signature] = alice.split(".");
    const forged = (n: number) => {
      const header = Buffer.from(JSON.stringify({ alg: "RS256", typ: "at+jwt", kid: `k${n}` }));
      return `${header.toString("base64url")}.${payload}.${signature}`;
    };
    const flood = Array.from({ length: 200 }, (_, n) =>
      slowly.call(forged(n), "query", { sql: "select 1" }),
    );
    await new Promise((resolve) => {
      setTimeout(resolve, 200);
    });
    expect((await slowly.call(alice, "query", { sql: "select 1" })).status).toBe(200);
    release();
    const statuses = new Set((await Promise.all(flood)).map(({ status }) => status));
    expect([...statuses].every((status) => status === 401 || status === 503)).toBe(true);
  });
});

describe("what no tool ran for", () => {
  it.each([
    ["arguments that are wrong", "query", { sql: 7 }, "arguments"],
    ["an argument that there is not", "query", { sql: "select 1", as: "bob" }, "arguments"],
    ["a tool that there is not", "drop_everything", {}, "tool"],
  ])("is on record as refused: %s", async (_name, tool, args, reason) => {
    const before = world.records.records.length;
    await served.call(await world.token("alice"), tool, args);
    expect(world.records.records.slice(before)).toMatchObject([
      { kind: "decision", decision: "deny", subject: { subject: "alice" }, reason },
    ]);
  });
});

it("leaves room for everybody else when one human's agent lets its requests trickle in", async () => {
  await using fair = await startGateway(world, {
    limits: { concurrentRequests: 3, requestsPerHuman: 2 },
  });
  const [alice, bob] = [await world.token("alice"), await world.token("bob")];
  const { headers } = currentRequest("tools/list");
  // Its token is known by now: to be let in takes no time.
  expect((await fair.call(alice, "query", { sql: "select 1" })).status).toBe(200);
  const slow = [1, 2].map(() => {
    const request = http.request({
      host: "127.0.0.1",
      port: fair.port,
      path: "/mcp",
      method: "POST",
      headers: {
        ...headers,
        "content-type": "application/json",
        "content-length": 1_000,
        expect: "100-continue",
        authorization: `Bearer ${alice}`,
      },
    });
    request.on("error", () => {}).flushHeaders();
    return request;
  });
  // The server lets each of them go on before another one asks for a place.
  await Promise.all(slow.map((request) => once(request, "continue")));
  expect((await fair.call(alice, "query", { sql: "select 1" })).status).toBe(429);
  const other = await fair.call(bob, "query", { sql: "select 1" });
  expect(toolAnswer(other.json()["result"])["rows"]).toEqual([[1]]);
  for (const request of slow) request.destroy();
  await until(async () => (await fair.call(alice, "query", { sql: "select 1" })).status === 200);

  // The other side: without the limit the agent has every place.
  await using unfair = await startGateway(world, {
    limits: { concurrentRequests: 1, requestsPerHuman: 1 },
  });
  const held = unfair.call(alice, "query", hold(0.3));
  await until(async () => (await sleeping()) === 1);
  expect((await unfair.call(bob, "query", { sql: "select 1" })).status).toBe(503);
  await held;
});

describe("health", () => {
  it("tells life from readiness, by any name and without a bearer", async () => {
    let isWell = true;
    await using probed = await startGateway(world, {
      ready: async () => {
        if (!isWell) throw new Error("no database");
      },
    });
    const probe = async (path: string) =>
      (await probed.send({ method: "GET", path, headers: { host: "10.0.0.7" } })).status;
    expect(await probe("/healthz")).toBe(200);
    expect(await probe("/readyz")).toBe(200);
    isWell = false;
    // Asked at most once a second, whoever asks.
    await until(async () => (await probe("/readyz")) === 503);
    expect(await probe("/healthz")).toBe(200);
    expect(probed.log).toContainEqual({
      level: "error",
      event: "not_ready",
      message: "no database",
    });
  });
});

describe("a gateway that is closed", () => {
  it("finishes what runs, takes nothing new, and ends", async () => {
    const closing = await startGateway(world);
    const token = await world.token("alice");
    const call = closing.call(token, "query", hold(0.4));
    await until(async () => (await sleeping()) === 1);
    const closed = closing.gateway.close({ drainMs: 10_000 });
    await expect(closing.call(token, "query", { sql: "select 1" })).rejects.toThrow(/ECONNREFUSED/);
    expect(toolAnswer((await call).json()["result"])["rows"]).toEqual([["held"]]);
    await closed;
    await closing.gateway.close();
  });

  it("cancels what runs longer than it may", async () => {
    const closing = await startGateway(world);
    const call = closing.call(await world.token("alice"), "query", hold(30)).catch(() => "cut off");
    await until(async () => (await sleeping()) === 1);
    await closing.gateway.close({ drainMs: 50 });
    expect(await call).toBe("cut off");
    await until(async () => (await sleeping()) === 0);
  });

  it("says so to who is connected still, behind a server of one's own", async () => {
    const closing = await startGateway(world);
    const server = createServer(closing.gateway.handle);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const origin = `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`;
    expect((await fetch(`${origin}/readyz`)).status).toBe(200);
    await closing.gateway.close();
    expect((await fetch(`${origin}/readyz`)).status).toBe(503);
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    expect((await fetch(`${origin}/mcp`, { method: "POST", body: "{}" })).status).toBe(503);
    server.closeAllConnections();
    server.close();
  });
});
