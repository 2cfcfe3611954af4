import { createConnection, type Socket } from "node:net";

import type { Contestant } from "./gateway-contestant.ts";

const REVISION = "2026-07-28";
const END_OF_CHUNKS = Buffer.from("\r\n0\r\n\r\n");

/** One keep-alive connection of one human's agent. Calls come one after the other. */
export interface AgentConnection {
  /** Sends a `tools/call` and resolves with the whole HTTP answer, unread: reading it is not timed. */
  call(): Promise<Buffer>;
  close(): void;
}

/**
 * A client that costs next to nothing: the request is made once but for its id, and the answer is only
 * looked at for its end. `fetch` would take more CPU than some of the servers.
 */
export async function connectAgent(
  contestant: Contestant,
  human: string,
): Promise<AgentConnection> {
  const url = new URL(contestant.url);
  const called = contestant.call(human);
  const body = (id: string) =>
    JSON.stringify({
      jsonrpc: "2.0",
      id,
      method: "tools/call",
      params: {
        ...called,
        _meta: {
          "io.modelcontextprotocol/protocolVersion": REVISION,
          "io.modelcontextprotocol/clientInfo": { name: "bench", version: "1.0.0" },
          "io.modelcontextprotocol/clientCapabilities": {},
        },
      },
    });
  const firstId = 10_000_000;
  const [before = "", after = ""] = body(String(firstId)).split(String(firstId));
  const head = [
    `POST ${url.pathname} HTTP/1.1`,
    `host: ${url.host}`,
    "content-type: application/json",
    "accept: application/json, text/event-stream",
    `mcp-protocol-version: ${REVISION}`,
    "mcp-method: tools/call",
    `mcp-name: ${called.name}`,
    ...Object.entries(contestant.headers(human)).map(([name, value]) => `${name}: ${value}`),
    `content-length: ${Buffer.byteLength(body(String(firstId)))}`,
    "\r\n",
  ].join("\r\n");

  const socket = await connected(Number(url.port), url.hostname);
  let id = firstId;
  let chunks: Buffer[] = [];
  let waiting: { resolve: (answer: Buffer) => void; reject: (error: Error) => void } | undefined;
  const fail = (error: Error) => {
    waiting?.reject(error);
    waiting = undefined;
  };
  socket.on("error", fail);
  socket.on("close", () => {
    fail(new Error(`${contestant.name} closed a connection`));
  });
  socket.on("data", (chunk) => {
    chunks.push(chunk);
    const answer = chunks.length === 1 ? chunk : Buffer.concat(chunks);
    if (!isWhole(answer)) return;
    chunks = [];
    waiting?.resolve(answer);
    waiting = undefined;
  });
  return {
    call() {
      id += 1;
      const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
      waiting = { resolve, reject };
      socket.write(`${head}${before}${id}${after}`);
      return promise;
    },
    close() {
      socket.removeAllListeners("close");
      socket.destroy();
    },
  };
}

async function connected(port: number, host: string): Promise<Socket> {
  const socket = createConnection({ port, host, noDelay: true });
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve).once("error", reject);
  });
  return socket;
}

function isWhole(answer: Buffer): boolean {
  const end = answer.indexOf("\r\n\r\n");
  if (end === -1) return false;
  const length = /content-length: *(\d+)/i.exec(answer.toString("latin1", 0, end + 2));
  if (length) return answer.length >= end + 4 + Number(length[1]);
  // A JSON text or an event has no CRLF of its own, so this is the end and nothing else is.
  return answer.subarray(-END_OF_CHUNKS.length).equals(END_OF_CHUNKS);
}

/** The JSON-RPC message of an HTTP answer, for checking it once the clock has stopped. */
export function messageOf(answer: Buffer): unknown {
  const end = answer.indexOf("\r\n\r\n");
  const head = answer.toString("latin1", 0, end);
  const body = answer.subarray(end + 4);
  const text = /transfer-encoding: *chunked/i.test(head) ? dechunked(body) : body.toString();
  if (!head.startsWith("HTTP/1.1 200")) throw new Error(`${head.split("\r\n")[0]}: ${text}`);
  const event = /^data: *(\{.*)$/m.exec(text);
  return JSON.parse(/text\/event-stream/i.test(head) ? (event?.[1] ?? "") : text);
}

function dechunked(body: Buffer): string {
  const parts: Buffer[] = [];
  for (let at = 0; ;) {
    const line = body.indexOf("\r\n", at);
    const length = Number.parseInt(body.toString("latin1", at, line), 16);
    if (!(length > 0)) return Buffer.concat(parts).toString();
    parts.push(body.subarray(line + 2, line + 2 + length));
    at = line + 4 + length;
  }
}
