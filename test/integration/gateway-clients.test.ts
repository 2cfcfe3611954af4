import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

import { createMCPClient } from "@ai-sdk/mcp";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { startGateway, toolAnswer, type GatewayWorld } from "../support/gateway-world.ts";
import { npmTool } from "../support/npm-package.ts";
import { makeWorld, type World } from "../support/world.ts";

const TOOLS = ["query", "describe_tables", "whoami"];
const sql = "select org_id, count(*)::int from orders group by 1";

let world: World;
let served: GatewayWorld;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  served = await startGateway(world);
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

describe("the client of the Vercel AI SDK, which shares no code with the server's SDK", () => {
  it("lists and calls tools as its human", async () => {
    const authorization = `Bearer ${await world.token("bob")}`;
    const client = await createMCPClient({
      transport: { type: "http", url: served.url, headers: { authorization } },
    });
    try {
      const tools = await client.tools();
      expect(Object.keys(tools)).toEqual(TOOLS);
      const result: unknown = await tools["query"]?.execute(
        { sql },
        { toolCallId: "1", messages: [], context: {} },
      );
      expect(toolAnswer(result)["rows"]).toEqual([["globex", 100]]);
    } finally {
      await client.close();
    }
  });

  it("is told to sign in where it brings no token", async () => {
    const transport = { type: "http", url: served.url } as const;
    await expect(createMCPClient({ transport })).rejects.toThrow(/401|nauthorized/);
  });
});

describe("the SDK's client without a fixed revision", () => {
  it("finds the current revision by itself", async () => {
    const client = new Client(
      { name: "tests", version: "1" },
      { versionNegotiation: { mode: "auto" } },
    );
    const authorization = `Bearer ${await world.token("alice")}`;
    await client.connect(
      new StreamableHTTPClientTransport(new URL(served.url), {
        requestInit: { headers: { authorization } },
      }),
    );
    expect(client.getNegotiatedProtocolVersion()).toBe("2026-07-28");
    const answer = await client.callTool({ name: "query", arguments: { sql } });
    expect(toolAnswer(answer)["rows"]).toEqual([["acme", 100]]);
    await client.close();
  });
});

describe("the MCP Inspector", () => {
  // 110 MB: fetched on first use.
  const inspector = npmTool("@modelcontextprotocol/inspector", "2.12.0", "mcp-inspector");
  if ("missing" in inspector) console.warn(`SKIPPED: the MCP Inspector: ${inspector.missing}`);

  it.skipIf("missing" in inspector)("lists and calls tools from its command line", async () => {
    const home = mkdtempSync(join(tmpdir(), "behalf-inspector-"));
    const token = await world.token("carol");
    const inspect = async (...args: string[]) => {
      const { stdout } = await promisify(execFile)(
        process.execPath,
        [
          "path" in inspector ? inspector.path : "",
          "--cli",
          served.url,
          "--transport",
          "http",
          "--header",
          `Authorization: Bearer ${token}`,
          ...args,
        ],
        { env: { HOME: home, PATH: process.env["PATH"] ?? "" }, timeout: 50_000 },
      );
      return JSON.parse(stdout) as { tools?: { name: string }[] };
    };
    try {
      const { tools } = await inspect("--method", "tools/list");
      expect(tools?.map(({ name }) => name)).toEqual(TOOLS);
      const call = ["--method", "tools/call", "--tool-name", "query", "--tool-arg", `sql=${sql}`];
      expect(toolAnswer(await inspect(...call))["rows"]).toEqual([["initech", 100]]);
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  });
});
