import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import {
  currentRequest,
  REVISIONS,
  startGateway,
  toolAnswer,
  type GatewayWorld,
} from "../support/gateway-world.ts";
import { makeWorld, type World } from "../support/world.ts";

let world: World;
let served: GatewayWorld;

beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  await world.admin.query(`
    create table regions (code text primary key, name text);
    create table salaries (person text primary key, amount numeric);
    insert into salaries values ('carol', 100000);
    alter table orders add column region text references regions (code);
    alter table orders add column data bytea, add column big bigint;
    update orders set data = '\\xdeadbeef', big = 9007199254740993;
    comment on table orders is 'What was ordered';
    comment on column orders.total is 'In euros';
    create view recent_orders with (security_invoker) as select id, total from orders;
    select behalf.expose('regions', 'codes are public');
    grant select on regions, recent_orders to ${world.names.agent};
  `);
  served = await startGateway(world);
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

describe.each(REVISIONS)("a client of %s", (revision) => {
  it("lists the tools with schemas and hints", async () => {
    const client = await served.client("alice", revision);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["query", "describe_tables", "whoami"]);
    for (const tool of tools) {
      expect(tool.inputSchema).toMatchObject({ type: "object", additionalProperties: false });
      expect(tool.annotations).toEqual({
        readOnlyHint: true,
        destructiveHint: false,
        idempotentHint: true,
        openWorldHint: false,
      });
    }
  });

  it("gives each human their own rows", async () => {
    const [alice, bob] = [
      await served.client("alice", revision),
      await served.client("bob", revision),
    ];
    const sql = "select distinct org_id, (select count(*) from orders)::int as n from orders";
    const ask = async (client: typeof alice) =>
      toolAnswer(await client.callTool({ name: "query", arguments: { sql } }));
    expect(await ask(alice)).toEqual({
      columns: ["org_id", "n"],
      rows: [["acme", 100]],
      row_count: 1,
    });
    expect((await ask(bob))["rows"]).toEqual([["globex", 100]]);
  });

  it("asks the database who is calling", async () => {
    const client = await served.client("bob", revision);
    expect(toolAnswer(await client.callTool({ name: "whoami", arguments: {} }))).toEqual({
      human: { issuer: world.idp.issuer, subject: "bob" },
      actors: ["gateway:shop", "agent:assistant"],
      role: world.names.agent,
    });
  });

  it("describes what this human may read, and nothing else", async () => {
    const client = await served.client("alice", revision);
    const all = toolAnswer(await client.callTool({ name: "describe_tables" }));
    const tables = all["tables"] as Record<string, unknown>[];
    expect(tables.map(({ name, kind }) => [name, kind])).toEqual([
      ["orders", "table"],
      ["recent_orders", "view"],
      ["regions", "table"],
    ]);
    expect(tables[0]).toMatchObject({
      schema: "public",
      comment: "What was ordered",
      primary_key: ["id"],
      foreign_keys: [
        { columns: ["region"], references: "public.regions", referenced_columns: ["code"] },
      ],
    });
    expect(tables[0]?.["columns"]).toContainEqual({
      name: "total",
      type: "numeric(12,2)",
      nullable: false,
      comment: "In euros",
    });
    expect(JSON.stringify(all)).not.toContain("salaries");

    const one = await client.callTool({
      name: "describe_tables",
      arguments: { table: "public.regions" },
    });
    expect(toolAnswer(one)["tables"]).toHaveLength(1);
    for (const table of ["salaries", "x' or true --", "public.x\\' or 1=1", 'a"b']) {
      const none = await client.callTool({ name: "describe_tables", arguments: { table } });
      expect(none.isError).toBe(true);
      expect(toolAnswer(none)["error"]).toMatchObject({ sqlstate: "42P01", retry: false });
    }
  });

  it("sends values that JSON cannot carry as text", async () => {
    const client = await served.client("alice", revision);
    const sql =
      "select data, big, total, placed_at, 'NaN'::float8, '-infinity'::float8, null, array['\\x01'::bytea] from orders order by id limit 1";
    expect(
      toolAnswer(await client.callTool({ name: "query", arguments: { sql } }))["rows"],
    ).toEqual([
      [
        "\\xdeadbeef",
        "9007199254740993",
        "1.25",
        "2026-01-01 00:01:00+00",
        "NaN",
        "-Infinity",
        null,
        '{"\\\\x01"}',
      ],
    ]);
  });

  it("says that rows are missing, and what to do", async () => {
    const client = await served.client("alice", revision);
    const result = await client.callTool({
      name: "query",
      arguments: { sql: "select id from orders", max_rows: 3 },
    });
    expect(toolAnswer(result)).toMatchObject({ row_count: 3, truncated: "rows" });
    expect(toolAnswer(result)["hint"]).toContain("max_rows");
  });

  it.each([
    ["select 1; select 2", "42P11", /one statement at a time.*single SELECT/],
    ["insert into orders (id) values (1)", "42P11", /single SELECT/],
    ["select * from salaries", "42501", /does not let this human/],
    ["select * from nowhere", "42P01", /describe_tables/],
    ["select nothing from orders", "42703", /describe_tables/],
    ["selec 1", "42601", /Correct the SQL/],
    ["select 1/0", "22012", /nullif/],
  ])("turns the refusal of %s into advice", async (sql, sqlstate, advice) => {
    const client = await served.client("alice", revision);
    const result = await client.callTool({ name: "query", arguments: { sql } });
    expect(result.isError).toBe(true);
    const { error } = toolAnswer(result) as { error: Record<string, unknown> };
    expect(error).toMatchObject({ sqlstate, retry: false });
    expect(error["advice"]).toMatch(advice);
    expect(error["call_id"]).toMatch(/^[0-9a-f-]{36}$/);
  });

  it("refuses arguments that the schema does not know", async () => {
    const client = await served.client("alice", revision);
    for (const args of [
      {},
      { sql: 1 },
      { sql: "select 1", max_rows: 0 },
      { sql: "x", role: "y" },
    ]) {
      const result = await client.callTool({ name: "query", arguments: args });
      expect(toolAnswer(result)["error"]).toMatchObject({ code: "arguments.invalid" });
    }
    await expect(client.callTool({ name: "write", arguments: { sql: "x" } })).rejects.toThrow(
      /no such tool/,
    );
  });
});

it("offers to write only where that is asked for, and says what it is", async () => {
  await using writing = await startGateway(world, { builtIn: { write: true } });
  const client = await writing.client("alice", "2026-07-28");
  const { tools } = await client.listTools();
  expect(tools.find(({ name }) => name === "write")?.annotations).toEqual({
    readOnlyHint: false,
    destructiveHint: true,
    idempotentHint: false,
    openWorldHint: false,
  });
  const sql = "update regions set name = 'changed'";
  await client.callTool({ name: "write", arguments: { sql } });
  expect(world.records.records.findLast(({ kind }) => kind === "decision")).toMatchObject({
    tool: "write",
    access: "write",
  });
  // The agent's role was granted no more than reading.
  const { rows } = await world.admin.query("select from regions where name = 'changed'");
  expect(rows).toEqual([]);
});

it("survives what is nested as deep as a body can be", async () => {
  const authorization = `Bearer ${await world.token("alice")}`;
  const deep = "[".repeat(500_000) + "]".repeat(500_000);
  for (const place of ["sql", "arguments", "_meta", "params", "id"]) {
    const { body, headers } = currentRequest("tools/call", { name: "query", arguments: {} });
    const text = JSON.stringify(body).replace(
      place === "sql" ? '"arguments":{}' : `"${place}":`,
      // The value that stood there goes on behind, under another name.
      place === "sql" ? `"arguments":{"sql":${deep}}` : `"${place}":${deep},"x":`,
    );
    expect(() => JSON.parse(text) as unknown).not.toThrow();
    for (const more of [headers, { accept: headers["accept"] ?? "" }]) {
      const answer = await served.send({ body: text, headers: { ...more, authorization } });
      expect(answer.status).toBeGreaterThanOrEqual(200);
      expect(answer.text).not.toContain("    at ");
    }
  }
  const alive = await served.send({ method: "GET", path: "/healthz" });
  expect(alive.status).toBe(200);
});

it("records every call once, with the tool, under an id of its own", async () => {
  const client = await served.client("carol", "2026-07-28");
  const before = world.records.records.length;
  await client.callTool({ name: "query", arguments: { sql: "select 1" } });
  await client.callTool({ name: "query", arguments: { sql: "select 2" } });
  const records = world.records.records.slice(before);
  expect(records.map(({ kind }) => kind)).toEqual(["decision", "outcome", "decision", "outcome"]);
  expect(new Set(records.map(({ id }) => id)).size).toBe(2);
  expect(records[0]).toMatchObject({ tool: "query", subject: { subject: "carol" } });
});
