import { readFile } from "node:fs/promises";

import { Server, type AuthInfo } from "@modelcontextprotocol/server";
import { describe, expect, it } from "vitest";

import { CURRENT_REVISION, SharedTransport } from "./mcp-shared-transport.ts";

/**
 * What the wiring assumes of the SDK. When one of these fails after an update, read what changed before
 * anything is adapted: the SDK does not promise that a transport can be shared.
 */
const PINNED = "2.4.0";

const classification = { era: "modern", revision: CURRENT_REVISION } as const;
const authInfo: AuthInfo = { token: "", clientId: "", scopes: [] };
const meta = {
  "io.modelcontextprotocol/protocolVersion": CURRENT_REVISION,
  "io.modelcontextprotocol/clientInfo": { name: "tests", version: "1" },
  "io.modelcontextprotocol/clientCapabilities": {},
};

async function connected() {
  const transport = new SharedTransport();
  const server = new Server(
    { name: "tests", version: "1" },
    { capabilities: { tools: {} }, supportedProtocolVersions: [CURRENT_REVISION] },
  );
  const started: { readonly signal: AbortSignal; readonly authInfo: AuthInfo | undefined }[] = [];
  server.setRequestHandler("tools/call", async ({ params }, { mcpReq, http }) => {
    started.push({ signal: mcpReq.signal, authInfo: http?.authInfo });
    if (params.name === "slow") {
      await new Promise((resolve) => mcpReq.signal.addEventListener("abort", resolve));
    }
    if (params.name === "broken") throw new Error("out of order");
    return { content: [{ type: "text", text: params.name }] };
  });
  await server.connect(transport);
  const ask = (method: string, name: string, id: string | number) =>
    new Promise<{ status: number; answer: unknown }>((resolve) => {
      const params = { name, arguments: {}, _meta: { ...meta } };
      const request = { jsonrpc: "2.0" as const, id, method, params };
      transport.exchange(request, classification, authInfo, (status, answer) =>
        resolve({ status, answer }),
      );
    });
  return { transport, server, started, ask };
}

it("is written for exactly this version of the SDK", async () => {
  const main = import.meta.resolve("@modelcontextprotocol/server");
  const manifest = await readFile(new URL("../package.json", main), "utf8");
  expect(JSON.parse(manifest)).toMatchObject({ version: PINNED });
});

describe("the SDK", () => {
  it("takes the era of a connection from the shared transport", async () => {
    const { ask, started } = await connected();
    expect(await ask("tools/call", "fast", "a")).toEqual({
      status: 200,
      answer: {
        jsonrpc: "2.0",
        id: "a",
        result: {
          resultType: "complete",
          content: [{ type: "text", text: "fast" }],
          _meta: { "io.modelcontextprotocol/serverInfo": { name: "tests", version: "1" } },
        },
      },
    });
    // By reference: who is calling hangs on the object.
    expect(started[0]?.authInfo).toBe(authInfo);
  });

  it("keeps requests of one id apart", async () => {
    const { ask } = await connected();
    const answers = await Promise.all(["one", "two", "three"].map((n) => ask("tools/call", n, 7)));
    expect(answers.map(({ answer }) => answer)).toMatchObject(
      ["one", "two", "three"].map((text) => ({ id: 7, result: { content: [{ text }] } })),
    );
  });

  it("answers what it does not know before a handler runs, and errors of handlers after", async () => {
    const { ask } = await connected();
    expect(await ask("prompts/list", "", 1)).toMatchObject({
      status: 404,
      answer: { error: { code: -32_601 } },
    });
    expect(await ask("tools/call", "broken", 1)).toMatchObject({
      status: 200,
      answer: { error: { code: -32_603 } },
    });
  });

  it("aborts a handler's signal when the exchange is cancelled, and then answers nothing", async () => {
    const { transport, started, ask } = await connected();
    const answered: number[] = [];
    const params = { name: "slow", arguments: {}, _meta: { ...meta } };
    const exchange = transport.exchange(
      { jsonrpc: "2.0", id: 1, method: "tools/call", params },
      classification,
      authInfo,
      (status) => answered.push(status),
    );
    await ask("tools/call", "fast", 2);
    expect(started[0]?.signal.aborted).toBe(false);
    exchange.cancel();
    exchange.cancel();
    await ask("tools/call", "fast", 3);
    expect(started[0]?.signal.aborted).toBe(true);
    expect(started[1]?.signal.aborted).toBe(false);
    expect(answered).toEqual([]);
  });
});
