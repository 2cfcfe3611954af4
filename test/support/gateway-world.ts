import http, { type IncomingHttpHeaders } from "node:http";

import { gateway, type Gateway, type GatewayLogEntry, type GatewayOptions } from "@behalf/gateway";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import type { Human, World } from "./world.ts";

/** What a gateway's own address is called in the tests: the name is never resolved. */
export const RESOURCE = "http://gateway.test/mcp";

/** A gateway before a world's database, listening on loopback. */
export interface GatewayWorld extends AsyncDisposable {
  readonly gateway: Gateway;
  readonly port: number;
  /** Of the MCP endpoint. */
  readonly url: string;
  readonly log: readonly GatewayLogEntry[];
  /** A connected MCP client of this human's agent. */
  client(human: Human, revision: Revision): Promise<Client>;
  /** One raw request. */
  send(request: RawRequest): Promise<RawAnswer>;
  /** One `tools/call` of the current revision with this bearer. */
  call(
    token: string | undefined,
    name: string,
    args: unknown,
    signal?: AbortSignal,
  ): Promise<RawAnswer>;
}

export interface RawRequest {
  /** Default is `POST`. */
  readonly method?: string;
  /** Default is `/mcp`. */
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as it is when it is a text, and as JSON otherwise. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: () => Record<string, unknown>;
}

export type Revision = "2026-07-28" | "2025-11-25";
export const REVISIONS: readonly Revision[] = ["2026-07-28", "2025-11-25"];

export async function startGateway(
  world: World,
  options: Partial<GatewayOptions> = {},
): Promise<GatewayWorld> {
  const log: GatewayLogEntry[] = [];
  await using stack = new AsyncDisposableStack();
  const made = await gateway({
    front: world.front,
    database: options.database ?? world.adapter(),
    resource: RESOURCE,
    authorizationServers: [world.idp.issuer],
    log: (entry) => log.push(entry),
    ...options,
  });
  stack.defer(() => made.close({ drainMs: 0 }));
  const { port } = await made.listen();
  const origin = `http://127.0.0.1:${port}`;
  const url = `${origin}/mcp`;
  const disposal = stack.move();
  return {
    gateway: made,
    port,
    url,
    log,
    async client(human, revision) {
      const client = new Client(
        { name: "tests", version: "1" },
        revision === "2025-11-25"
          ? { versionNegotiation: { mode: "legacy" } }
          : { versionNegotiation: { mode: { pin: revision } } },
      );
      const authorization = `Bearer ${await world.token(human)}`;
      await client.connect(
        new StreamableHTTPClientTransport(new URL(url), {
          requestInit: { headers: { authorization } },
        }),
      );
      disposal.defer(() => client.close());
      return client;
    },
    send: (request) => send(port, request),
    call(token, name, args, signal) {
      const { body, headers } = currentRequest("tools/call", { name, arguments: args });
      const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
      return send(port, {
        body,
        headers: { ...headers, ...authorization },
        ...(signal === undefined ? {} : { signal }),
      });
    },
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

/** Over node:http, because fetch lets nobody say another Host. */
function send(port: number, request: RawRequest): Promise<RawAnswer> {
  const { method = "POST", path = "/mcp", headers = {}, body, signal } = request;
  const text = typeof body === "string" || body === undefined ? body : JSON.stringify(body);
  return new Promise((resolve, reject) => {
    const sent = http.request(
      {
        host: "127.0.0.1",
        port,
        method,
        path,
        headers: { "content-type": "application/json", ...headers },
        ...(signal === undefined ? {} : { signal }),
      },
      (res) => {
        let answered = "";
        res.setEncoding("utf8").on("data", (chunk: string) => (answered += chunk));
        res.once("error", reject).once("end", () =>
          resolve({
            status: res.statusCode ?? 0,
            headers: res.headers,
            text: answered,
            json: () => JSON.parse(answered) as Record<string, unknown>,
          }),
        );
      },
    );
    sent.once("error", reject).end(text);
  });
}

/** A request of the current revision, as body and headers. */
export function currentRequest(
  method: string,
  params: Readonly<Record<string, unknown>> = {},
  id: string | number = 1,
): { body: Record<string, unknown>; headers: Record<string, string> } {
  const { name } = params;
  return {
    body: {
      jsonrpc: "2.0",
      id,
      method,
      params: {
        ...params,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": "2026-07-28",
          "io.modelcontextprotocol/clientInfo": { name: "tests", version: "1" },
          "io.modelcontextprotocol/clientCapabilities": {},
        },
      },
    },
    headers: {
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(typeof name === "string" ? { "mcp-name": name } : {}),
    },
  };
}

/** The JSON that a tool answered. */
export function toolAnswer(result: unknown): Record<string, unknown> {
  const { content } = result as { content: readonly { readonly text: string }[] };
  return JSON.parse(content[0]?.text ?? "") as Record<string, unknown>;
}
