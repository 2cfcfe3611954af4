import { sql } from "@behalf/core";
import { declaredTool, statementTool } from "@behalf/gateway";
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from "vitest";
import { z } from "zod";

import { until } from "../support/failure.ts";
import {
  REVISIONS,
  startGateway,
  toolAnswer,
  type GatewayWorld,
} from "../support/gateway-world.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
let served: GatewayWorld;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl"), orders: 5 });
  served = await startGateway(world, {
    builtIn: { write: true },
    tools: [
      statementTool({
        name: "orders_above",
        description: "Orders of at least this total",
        input: z.object({ total: z.number(), note: z.string().optional() }),
        statement: ({ total, note = null }) =>
          sql`select id, org_id, total, ${note}::text as note from orders where total >= ${total} order by id`,
      }),
      declaredTool({
        name: "set_note",
        description: "Notes something on an order",
        parameters: { id: { type: "integer" }, note: { type: "string", required: false } },
        access: "write",
        idempotent: true,
        destructive: false,
        // What looks like a placeholder in a comment or a string is none.
        statement: `update orders set note = :note -- not :this
          where id = :id::bigint and ':id' <> '' returning id, note`,
      }),
      declaredTool({
        name: "a_write_that_calls_itself_a_read",
        description: "It cannot",
        parameters: { id: { type: "integer" } },
        statement: "delete from orders where id = :id",
      }),
      statementTool({
        name: "broken",
        description: "Its author mistyped a column",
        input: z.object({}),
        statement: () => sql`select totl from orders`,
      }),
    ],
  });
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});
beforeEach(() => world.admin.query("update orders set note = null"));

const notes = async () =>
  (await world.admin.query("select id::int, note from orders where note is not null order by id"))
    .rows;

describe.each(REVISIONS)("a client of %s", (revision) => {
  const call = async (human: "alice" | "bob", name: string, args: Record<string, unknown>) => {
    const client = await served.client(human, revision);
    return toolAnswer(await client.callTool({ name, arguments: args }));
  };

  it("gets the human's rows from a statement tool, whatever its values are", async () => {
    expect(await call("alice", "orders_above", { total: 5, note: "' or true --" })).toEqual({
      columns: ["id", "org_id", "total", "note"],
      rows: [
        ["1000004", "acme", "5.00", "' or true --"],
        ["1000005", "acme", "6.25", "' or true --"],
      ],
      row_count: 2,
    });
    expect((await call("bob", "orders_above", { total: 6 }))["rows"]).toEqual([
      ["2000005", "globex", "6.25", null],
    ]);
  });

  it("changes the human's rows, and nobody else's, by a declared tool", async () => {
    const hostile = "x', org_id = 'globex";
    expect(await call("alice", "set_note", { id: 1_000_001, note: hostile })).toEqual({
      columns: ["id", "note"],
      rows: [["1000001", hostile]],
      row_count: 1,
      affected_rows: 1,
    });
    expect(await call("alice", "set_note", { id: 2_000_001, note: "mine" })).toMatchObject({
      row_count: 0,
      affected_rows: 0,
    });
    expect(await notes()).toEqual([{ id: 1_000_001, note: hostile }]);
    await call("alice", "set_note", { id: 1_000_001 });
    expect(await notes()).toEqual([]);
  });

  it("cannot write by a tool that is declared to read", async () => {
    const { error } = await call("alice", "a_write_that_calls_itself_a_read", { id: 1_000_001 });
    expect(error).toMatchObject({ sqlstate: "25006", retry: false });
  });

  it("is not asked to correct what the tool's author wrote: the operator is told", async () => {
    const { error } = await call("alice", "broken", {});
    expect(error).toMatchObject({ code: "configuration", retry: false });
    expect(JSON.stringify(error)).not.toContain("totl");
    expect(served.log.at(-1)).toMatchObject({ event: "tool_failed", tool: "broken" });
    expect(served.log.at(-1)?.message).toContain('column "totl" does not exist');
  });

  it("changes the human's rows by text, where writing is on", async () => {
    const text = "update orders set note = 'by text' where id in (1000002, 2000002)";
    expect(await call("alice", "write", { sql: text })).toMatchObject({
      affected_rows: 1,
    });
    expect(await notes()).toEqual([{ id: 1_000_002, note: "by text" }]);
    const moved = await call("alice", "write", { sql: "update orders set org_id = 'globex'" });
    expect(moved["error"]).toMatchObject({ sqlstate: "42501", retry: false });
    const two = await call("alice", "write", { sql: "delete from orders; select 1" });
    expect(two["error"]).toMatchObject({ advice: expect.stringContaining("Send one INSERT") });
    const inRead = await call("alice", "query", { sql: "delete from orders" });
    expect(inRead["error"]).toMatchObject({ sqlstate: "42P11" });
  });

  it("is told of a constraint, and not of the row that it is about", async () => {
    const insert = (values: string) =>
      call("alice", "write", { sql: `insert into orders values ${values}` });
    // The row is another human's: its key is what the agent sent, and DETAIL would repeat it.
    const taken = await insert("(2000001, 'acme', 1, 'secret-note', now())");
    expect(taken["error"]).toMatchObject({ sqlstate: "23505", retry: false });
    expect(JSON.stringify(taken)).not.toMatch(/2000001|secret-note|Failing row|DETAIL/);
    const missing = await insert("(1000099, 'acme', null, 'secret-note', now())");
    expect(missing["error"]).toMatchObject({ sqlstate: "23502", retry: false });
    expect(JSON.stringify(missing)).not.toMatch(/secret-note|Failing row|DETAIL/);
  });
});

it("tells agents which tools write", async () => {
  const { tools } = await (await served.client("alice", "2026-07-28")).listTools();
  const hints = Object.fromEntries(
    tools.map(({ name, annotations }) => [
      name,
      [annotations?.readOnlyHint, annotations?.destructiveHint, annotations?.idempotentHint],
    ]),
  );
  expect(hints).toMatchObject({
    write: [false, true, false],
    orders_above: [true, false, true],
    set_note: [false, false, true],
  });
});

it("passes on that one human has too many calls under way, and serves another", async () => {
  await using narrow = await startGateway(world, {
    database: world.adapter({ maxCallsPerHuman: 1 }),
  });
  const [alice, bob] = [await world.token("alice"), await world.token("bob")];
  const long = narrow.call(alice, "query", { sql: "select pg_sleep(0.5)" });
  await until(async () => {
    const { rows } = await world.admin.query(
      "select from pg_stat_activity where usename = $1 and wait_event = 'PgSleep'",
      [world.names.gateway],
    );
    return rows.length > 0;
  });
  const refused = await narrow.call(alice, "query", { sql: "select 1" });
  expect(toolAnswer(refused.json()["result"])["error"]).toMatchObject({
    code: "limit.exceeded",
    retry: true,
  });
  const other = await narrow.call(bob, "query", { sql: "select 1" });
  expect(toolAnswer(other.json()["result"])["rows"]).toEqual([[1]]);
  await long;
});
