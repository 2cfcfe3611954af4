import type { IncomingMessage, ServerResponse } from "node:http";
import { once } from "node:events";

import { legacyStatelessFallback, type AuthInfo } from "@modelcontextprotocol/server";

import { leaveSlowReader } from "./http-answer.ts";
import type { McpServers } from "./mcp-server.ts";

/** Clients of the 2025 revisions, served by the SDK without sessions. */
export interface LegacyEndpoint {
  serve(
    req: IncomingMessage,
    res: ServerResponse,
    body: unknown,
    authInfo: AuthInfo,
  ): Promise<void>;
}

/** What the SDK looks at. The authorization header is not among them. */
const HEADERS = ["accept", "content-type", "mcp-protocol-version", "mcp-session-id"] as const;

export function legacyEndpoint(
  servers: McpServers,
  onError: (error: Error) => void,
): LegacyEndpoint {
  const handler = legacyStatelessFallback(() => servers.make(), onError);
  return {
    async serve(req, res, body, authInfo) {
      const gone = new AbortController();
      res.once("close", () => gone.abort());
      const headers = new Headers();
      for (const name of HEADERS) {
        const value = req.headers[name];
        if (typeof value === "string") headers.set(name, value);
      }
      // The address is of no consequence: hosts and paths were checked before.
      const request = new Request("http://gateway.invalid/", {
        method: "POST",
        headers,
        signal: gone.signal,
      });
      await send(res, await handler(request, { authInfo, parsedBody: body }));
    },
  };
}

async function send(res: ServerResponse, response: Response): Promise<void> {
  if (res.destroyed) {
    await response.body?.cancel();
    return;
  }
  res.writeHead(response.status, Object.fromEntries(response.headers));
  if (response.body === null) {
    res.end();
    return;
  }
  const reader = response.body.getReader();
  res.once("close", () => void reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done || res.destroyed) break;
    if (res.write(value)) continue;
    leaveSlowReader(res);
    await Promise.race([once(res, "drain"), once(res, "close")]);
  }
  res.end();
}
