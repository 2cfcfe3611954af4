import type { LocalPostgres } from "@behalf/local";
import { afterAll, beforeAll, expect, it } from "vitest";

import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { failure, until } from "../support/failure.ts";
import { tcpProxy } from "../support/tcp-proxy.ts";
import { makeWorld, type World } from "../support/world.ts";

// A server of its own, because these tests stop it.
let server: LocalPostgres;
let world: World;
beforeAll(async () => {
  // What was committed must survive the crash that the first test makes.
  server = await embeddedPostgres({ settings: { synchronous_commit: "on" } });
  world = await makeWorld({ url: server.url });
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await server.stop();
});

it("says backend.unavailable while the database is down, and works again without a restart", async () => {
  const shop = world.adapter();
  await shop.query(await world.delegate("alice"), "select 1");
  const down = await world.delegate("alice");
  const up = await world.delegate("alice");
  await server.stopServer("immediate");
  const before = performance.now();
  expect((await failure(shop.query(down, "select 1", { deadlineMs: 2_000 }))).code).toBe(
    "backend.unavailable",
  );
  expect(performance.now() - before).toBeLessThan(2_100);
  await server.startServer();
  expect((await shop.query(up, "select 1")).rows).toEqual([[1]]);
});

it("is also ready when the database was down at the very first call", async () => {
  const shop = world.adapter();
  const [first, second] = [await world.delegate("alice"), await world.delegate("alice")];
  await server.stopServer();
  expect((await failure(shop.query(first, "select 1"))).code).toBe("backend.unavailable");
  await server.startServer();
  expect((await shop.query(second, "select distinct org_id from orders")).rows).toEqual([["acme"]]);
});

it("says backend.unavailable when the server restarts in the middle of a call", async () => {
  const shop = world.adapter();
  await shop.query(await world.delegate("alice"), "select 1");
  const [running, later] = [await world.delegate("alice"), await world.delegate("bob")];
  const call = failure(shop.query(running, "select pg_sleep(20)"));
  const observer = world.pool({ connectionString: server.url });
  await until(async () => {
    const { rows } = await observer.query(
      "select from pg_stat_activity where wait_event = 'PgSleep'",
    );
    return rows.length === 1;
  });
  observer.on("error", () => {});
  await server.stopServer("fast");
  const error = await call;
  expect(error.code).toBe("backend.unavailable");
  expect(error.effect).toBe("none");
  await server.startServer();
  expect((await shop.query(later, "select distinct org_id from orders")).rows).toEqual([
    ["globex"],
  ]);
});

it("says backend.unavailable when the login is refused, names the SQLSTATE and no password", async () => {
  const wrong = world.pool({
    connectionString: world.url({ user: world.names.gateway, password: "wrong-password" }),
  });
  const shop = world.adapter({ pool: wrong });
  const error = await failure(shop.query(await world.delegate("alice"), "select 1"));
  expect(error).toMatchObject({ code: "backend.unavailable", nativeCode: "28P01" });
  expect(JSON.stringify(error) + error.message).not.toContain("wrong-password");
});

it("says backend.unavailable within the deadline when nobody answers at the address", async () => {
  await using proxy = await tcpProxy({ host: server.host, port: server.port });
  proxy.mode("hold");
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
  });
  const shop = world.adapter({ pool });
  const before = performance.now();
  const error = await failure(
    shop.query(await world.delegate("alice"), "select 1", { deadlineMs: 700 }),
  );
  expect(error.code).toBe("backend.unavailable");
  expect(performance.now() - before).toBeLessThan(1_000);
});

it("ends at the deadline when the network goes silent in the middle of a call, and recovers", async () => {
  await using proxy = await tcpProxy({ host: server.host, port: server.port });
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
    max: 1,
  });
  const shop = world.adapter({ pool });
  await shop.query(await world.delegate("alice"), "select 1");
  proxy.mode("hold");
  const before = performance.now();
  const silent = await failure(
    shop.query(await world.delegate("alice"), "select 1", { deadlineMs: 700 }),
  );
  expect(silent.code).toBe("timeout");
  expect(performance.now() - before).toBeLessThan(1_000);
  proxy.mode("pass");
  expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
});

it("says backend.unavailable when the connection is cut, idle or busy, and recovers", async () => {
  await using proxy = await tcpProxy({ host: server.host, port: server.port });
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
    max: 1,
  });
  const shop = world.adapter({ pool });
  await shop.query(await world.delegate("alice"), "select 1");
  const busy = failure(shop.query(await world.delegate("alice"), "select pg_sleep(20)"));
  await until(async () => {
    const { rows } = await world
      .pool({ connectionString: server.url })
      .query("select from pg_stat_activity where wait_event = 'PgSleep'");
    return rows.length > 0;
  });
  proxy.mode("cut");
  expect((await busy).code).toBe("backend.unavailable");
  proxy.mode("pass");
  await shop.query(await world.delegate("bob"), "select 1");
  // Idle now; the pool notices the loss by itself.
  proxy.mode("cut");
  proxy.mode("pass");
  await until(() => pool.totalCount === 0);
  expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
});

it("lives on when a connection is terminated in the moment it is made", async () => {
  await using proxy = await tcpProxy({ host: server.host, port: server.port });
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
  });
  const shop = world.adapter({ pool });
  // ReadyForQuery, and in the same packet what a server says that is being shut down.
  const ready = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);
  const fields = Buffer.from("SFATAL\0VFATAL\0C57P01\0Mterminating connection\0\0");
  const head = Buffer.from([0x45, 0, 0, 0, fields.length + 4]);
  let leaves = 0;
  proxy.rewrite((chunk) => {
    if (!chunk.subarray(-6).equals(ready)) return chunk;
    leaves += 1;
    return Buffer.concat([chunk, head, fields]);
  });
  const error = await failure(shop.query(await world.delegate("alice"), "select 1"));
  expect(error).toMatchObject({ code: "backend.unavailable", effect: "none" });
  expect(leaves).toBe(1);
  proxy.rewrite((chunk) => chunk);
  expect((await shop.query(await world.delegate("bob"), "select 1")).rows).toEqual([[1]]);
});
