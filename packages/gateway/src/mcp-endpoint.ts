import type { IncomingMessage, ServerResponse } from "node:http";

import { classifyInboundRequest, type InboundModernRoute } from "@modelcontextprotocol/server";

import type { Caller } from "./caller.ts";
import { answer, answerError } from "./http-answer.ts";
import { headerProblem, type StandardHeaders } from "./mcp-headers.ts";
import { legacyEndpoint } from "./mcp-legacy.ts";
import type { McpServers } from "./mcp-server.ts";
import { CURRENT_REVISION, SharedTransport } from "./mcp-shared-transport.ts";

/** Serves one MCP message of a client that was let in. */
export interface McpEndpoint {
  serve(
    req: IncomingMessage,
    res: ServerResponse,
    body: unknown,
    headers: StandardHeaders,
    caller: Caller,
  ): Promise<void>;
  close(): Promise<void>;
}

const INVALID_REQUEST = -32_600;
const UNSUPPORTED_VERSION = -32_022;

/**
 * The 2026-07-28 revision goes to one long-lived server; requests of older clients go to the SDK's own
 * stateless serving.
 */
export async function mcpEndpoint(
  servers: McpServers,
  onProtocolError: (error: Error) => void,
): Promise<McpEndpoint> {
  const transport = new SharedTransport();
  const server = servers.make([CURRENT_REVISION]);
  // oxlint-disable-next-line unicorn/prefer-add-event-listener -- the SDK takes one listener, so
  server.onerror = onProtocolError;
  await server.connect(transport);
  const legacy = legacyEndpoint(servers, onProtocolError);

  function serveCurrent(
    res: ServerResponse,
    route: InboundModernRoute,
    headers: StandardHeaders,
    caller: Caller,
  ): void {
    // Notifications of this revision need no answer, and this server acts on none: to cancel a call a
    // client ends its request.
    if (route.messageKind === "notification") {
      res.writeHead(202, { "content-length": 0 }).end();
      return;
    }
    const { id } = route.message;
    const { revision } = route.classification;
    if (revision !== CURRENT_REVISION) {
      const data = { supported: [CURRENT_REVISION], requested: revision ?? "unknown" };
      const message = "Unsupported protocol version";
      answerError(res, 400, message, { code: UNSUPPORTED_VERSION, id, data });
      return;
    }
    const problem = headerProblem(headers, route);
    if (problem !== undefined) {
      answerError(res, 400, problem.message, { code: problem.code, id });
      return;
    }
    const exchange = transport.exchange(
      route.message,
      route.classification,
      servers.authInfo(caller),
      (status, message) => answer(res, status, JSON.stringify(message)),
    );
    // Also after a whole answer; then there is nothing left to cancel.
    res.once("close", () => exchange.cancel());
  }

  return {
    async serve(req, res, body, headers, caller) {
      if (Array.isArray(body)) {
        const message = "JSON-RPC batches are not supported; send one message a request";
        answerError(res, 400, message, { code: INVALID_REQUEST });
        return;
      }
      const route = classifyInboundRequest({
        httpMethod: "POST",
        body,
        ...(headers.protocolVersion === undefined
          ? {}
          : { protocolVersionHeader: headers.protocolVersion }),
        ...(headers.method === undefined ? {} : { mcpMethodHeader: headers.method }),
        ...(headers.name === undefined ? {} : { mcpNameHeader: headers.name }),
      });
      switch (route.kind) {
        case "modern":
          serveCurrent(res, route, headers, caller);
          return;
        case "legacy":
          await legacy.serve(req, res, body, servers.authInfo(caller));
          return;
        case "reject":
          answerError(res, route.httpStatus, route.message, {
            code: route.code,
            id: idOf(body),
            ...(route.data === undefined ? {} : { data: route.data }),
          });
      }
    },
    async close() {
      await server.close();
    },
  };
}

function idOf(body: unknown): string | number | null {
  const id = typeof body === "object" && body !== null && "id" in body ? body.id : null;
  return typeof id === "string" || typeof id === "number" ? id : null;
}
