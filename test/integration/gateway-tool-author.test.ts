import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, expect, inject, it } from "vitest";

import { toolAnswer } from "../support/gateway-world.ts";
import { GATEWAY_SECRET, makeWorld, type World } from "../support/world.ts";

const MAIN = fileURLToPath(new URL("../../examples/tool-author/src/main.ts", import.meta.url));

let world: World;
let client: Client;
const stack = new AsyncDisposableStack();
beforeAll(async () => {
  world = stack.use(await makeWorld({ url: inject("postgresUrl") }));
  const folder = mkdtempSync(join(tmpdir(), "behalf-author-"));
  stack.defer(() => rmSync(folder, { recursive: true }));
  const child = spawn(process.execPath, [MAIN], {
    env: {
      DATABASE_URL: world.url(),
      STATEMENTS_URL: world.url({
        user: world.names.statementGateway,
        password: world.passwords.statementGateway,
      }),
      GATEWAY_SECRET,
      ISSUER: world.idp.issuer,
      RECORDS: join(folder, "calls.jsonl"),
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  stack.defer(() => void child.kill("SIGKILL"));
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding("utf8").once("data", (line: string) => resolve(line.trim()));
    child.once("exit", () => reject(new Error("the example ended")));
  });
  client = new Client({ name: "tests", version: "1" }, { versionNegotiation: { mode: "auto" } });
  const authorization = `Bearer ${await world.token("alice")}`;
  await client.connect(
    new StreamableHTTPClientTransport(new URL(url), {
      requestInit: { headers: { authorization } },
    }),
  );
  stack.defer(() => client.close());
});
afterAll(() => stack.disposeAsync());

it("is at most 40 lines", () => {
  expect(readFileSync(MAIN, "utf8").trimEnd().split("\n").length).toBeLessThanOrEqual(40);
});

it("offers the author's tool beside the built-in ones", async () => {
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name)).toEqual([
    "query",
    "describe_tables",
    "whoami",
    "orders_above",
  ]);
  const answer = await client.callTool({
    name: "query",
    arguments: { sql: "select distinct org_id from orders" },
  });
  expect(toolAnswer(answer)["rows"]).toEqual([["acme"]]);
});

it("answers with the human's own rows", async () => {
  const answer = await client.callTool({
    name: "orders_above",
    arguments: { total: 120, limit: 2 },
  });
  expect(toolAnswer(answer)["rows"]).toEqual([
    ["1000100", "125.00"],
    ["1000099", "123.75"],
  ]);
});
