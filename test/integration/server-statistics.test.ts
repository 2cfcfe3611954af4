import { type BehalfError, sql } from "@behalf/core";
import type { LocalPostgres } from "@behalf/local";
import pg from "pg";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";

import { embeddedPostgres } from "../support/embedded-postgres.ts";
import { failure } from "../support/failure.ts";
import { refusal } from "../support/kit-world.ts";
import { makeWorld, type World } from "../support/world.ts";

let server: LocalPostgres;
let world: World;
let refusedInPublic: BehalfError;
beforeAll(async () => {
  server = await embeddedPostgres({
    settings: {
      shared_preload_libraries: "pg_stat_statements",
      // The least that there can be, so that a test can fill it.
      "pg_stat_statements.max": "100",
    },
  });
  world = await makeWorld({ url: server.url });
  await world.admin.query("create extension pg_stat_statements");
  // Where it lands by itself, everybody may read it, and preflight says so: see the test of that.
  refusedInPublic = await failure(world.adapter().query(await world.delegate("alice"), "select 1"));
  await world.admin.query(`
    create schema statistics;
    grant usage on schema statistics to pg_read_all_stats;
    alter extension pg_stat_statements set schema statistics;
    set search_path = public, statistics`);
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  await server?.stop();
});
beforeEach(async () => {
  await world.admin.query("select pg_stat_statements_reset()");
});

const setTrack = async (clause: string) => {
  for (const login of [world.names.gateway, world.names.statementGateway]) {
    await world.admin.query(`alter role ${login} ${clause}`);
  }
};
const entries = async () => {
  const { rows } = await world.admin.query<{ role: string; query: string }>(
    "select r.rolname as role, s.query from pg_stat_statements s join pg_roles r on r.oid = s.userid",
  );
  return rows;
};
it("knows an agent's read by the kit's function alone, and an author's statement by itself", async () => {
  const shop = world.adapter();
  await shop.query(await world.delegate("alice"), "select 'a literal', count(*) from orders");
  await shop.query(
    await world.delegate("alice"),
    sql`select ${"a value"}::text, count(*) from orders`,
  );
  const all = await entries();
  const inside = [world.names.agent, world.names.writer];
  expect(all.filter(({ role }) => inside.includes(role))).toEqual([]);
  expect(all).toContainEqual({
    role: world.names.gateway,
    query: "select * from behalf.read($1, $2::pg_catalog.int4, $3::pg_catalog.int8)",
  });
  expect(all).toContainEqual({
    role: world.names.statements,
    query: "select $1::text, count(*) from orders",
  });
  // Nothing of a human: no proof, no literal, no value.
  expect(JSON.stringify(all)).not.toMatch(/eyJ|bt1\.|a literal|a value/);
});

it("keeps some of agents' texts with track = all: no reads, and of a SELECT that may write the literals, too", async () => {
  await setTrack("set pg_stat_statements.track = 'all'");
  try {
    const shop = world.adapter();
    const call = async (text: string, access: "read" | "write") =>
      shop.query(await world.delegate("alice"), text, { access });
    await call("select 'a read', id from orders", "read");
    for (const literal of ["one", "two"]) {
      await call(`update orders set note = '${literal}' where id = 1000001`, "write");
    }
    await call("select 'in clear', id from orders", "write");
    const all = await entries();
    const texts = all.filter(({ query }) => query.includes("behalf_w"));
    // A read's cursor ends with the transaction, unfinished: it is never counted.
    expect(JSON.stringify(all)).not.toContain("a read");
    // What ends inside the function is the write role's, and normalised; a SELECT, which the COMMIT ends, is
    // the login's, and as the agent wrote it.
    expect(texts).toContainEqual({
      role: world.names.writer,
      query: expect.stringContaining("set note = $1 where id = $2"),
    });
    expect(texts).toContainEqual({
      role: world.names.gateway,
      query: expect.stringContaining("select 'in clear', id"),
    });
    expect(JSON.stringify(all)).not.toMatch(/eyJ|bt1\./);
  } finally {
    await setTrack("reset pg_stat_statements.track");
  }
});

it("fills with agents' new texts with track = all, to the loss of the application's, and not with top", async () => {
  const flood = async (texts: number) => {
    const shop = world.adapter({ pool: world.pool({ max: 1 }) });
    for (let index = 0; index < texts; index += 1) {
      const text = `select ${"1 + ".repeat(index)}id from orders`;
      await shop.query(await world.delegate("bob"), text, { access: "write" });
    }
    await shop.close();
  };
  await flood(2);
  // The question itself is an entry, too.
  await entries();
  const { length } = await entries();
  await flood(12);
  expect(await entries()).toHaveLength(length);
  await setTrack("set pg_stat_statements.track = 'all'");
  await flood(101);
  await setTrack("reset pg_stat_statements.track");
  const { rows } = await world.admin.query<{ dealloc: string }>(
    "select dealloc from pg_stat_statements_info",
  );
  expect(Number(rows[0]?.dealloc)).toBeGreaterThan(0);
});

it("is refused by preflight where agents may read it, because it shows them one another's texts", async () => {
  expect(refusedInPublic.code).toBe("configuration");
  expect(refusedInPublic.message).toContain(
    `agent role ${world.names.agent} may read public.pg_stat_statements`,
  );
  await setTrack("set pg_stat_statements.track = 'all'");
  const shop = world.adapter();
  await shop.query(await world.delegate("bob"), "update orders set note = id", { access: "write" });
  await setTrack("reset pg_stat_statements.track");
  // All humans' agents are one role of the server's, and a role is shown its own texts.
  const seen = async (role: string) => {
    await world.admin.query(
      `begin; grant usage on schema statistics to public; set local role ${role}`,
    );
    const { rows } = await world.admin.query<{ query: string }>(
      "select query from statistics.pg_stat_statements",
    );
    await world.admin.query("rollback");
    return rows.filter(({ query }) => query.includes("update orders set note = id")).length;
  };
  expect(await seen(world.names.writer)).toBe(1);
  expect(await seen(world.names.agent)).toBe(0);
  expect(await seen("pg_read_all_stats")).toBe(1);
  const read = shop.query(
    await world.delegate("alice"),
    "select query from statistics.pg_stat_statements",
  );
  expect(await failure(read)).toMatchObject({ code: "backend.denied", nativeCode: "42501" });
});

it("is a superuser's to set: a thief of the login can set it neither for a session nor to stay", async () => {
  const thief = new pg.Client({ connectionString: world.url() });
  await thief.connect();
  try {
    for (const text of [
      "set pg_stat_statements.track = 'none'",
      `alter role ${world.names.gateway} set pg_stat_statements.track = 'none'`,
    ]) {
      expect((await refusal(thief.query(text))).code, text).toBe("42501");
    }
  } finally {
    await thief.end();
  }
});
