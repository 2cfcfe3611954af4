import { BehalfError } from "@behalf/core";
import {
  ProtocolError,
  ProtocolErrorCode,
  Server,
  type AuthInfo,
} from "@modelcontextprotocol/server";

import type { Caller } from "./caller.ts";
import type { ToolSet } from "./tool-list.ts";
import type { ToolRunner } from "./tool-runner.ts";

/** Makes the SDK's servers: one that lives on for the current revision, one per request for older clients. */
export interface McpServers {
  make(supportedProtocolVersions?: readonly string[]): Server;
  /** What the SDK hands through to the tools of one request. */
  authInfo(caller: Caller): AuthInfo;
}

/** Clients may keep the list: it changes only when the gateway is restarted. */
const LIST_TTL_MS = 300_000;

export function mcpServers(options: {
  readonly name: string;
  readonly version: string;
  readonly instructions: string;
  readonly tools: ToolSet;
  readonly run: ToolRunner;
}): McpServers {
  const { name, version, instructions, tools, run } = options;
  // Keyed by the object, so that no token has to stand in one of the SDK's.
  const callers = new WeakMap<AuthInfo, Caller>();
  const list = { tools: tools.listed.map((tool) => ({ ...tool })) };

  return {
    make(supportedProtocolVersions) {
      const server = new Server(
        { name, version },
        {
          capabilities: { tools: {} },
          instructions,
          cacheHints: { "tools/list": { ttlMs: LIST_TTL_MS, cacheScope: "private" } },
          ...(supportedProtocolVersions === undefined
            ? {}
            : { supportedProtocolVersions: [...supportedProtocolVersions] }),
        },
      );
      server.setRequestHandler("tools/list", () => list);
      server.setRequestHandler("tools/call", async ({ params }, { mcpReq, http }) => {
        const caller = http?.authInfo === undefined ? undefined : callers.get(http.authInfo);
        if (caller === undefined) {
          throw new ProtocolError(ProtocolErrorCode.InternalError, "the request has no caller");
        }
        if (!tools.byName.has(params.name)) {
          // An agent that tries names is on record, too.
          await caller.refuse(
            undefined,
            new BehalfError("statement.refused", "there is no such tool", { reason: "tool" }),
          );
          throw new ProtocolError(ProtocolErrorCode.InvalidParams, "there is no such tool");
        }
        return run(params.name, params.arguments, caller, mcpReq.signal);
      });
      return server;
    },
    authInfo(caller) {
      const info: AuthInfo = { token: "", clientId: "", scopes: [] };
      callers.set(info, caller);
      return info;
    },
  };
}
