import { BehalfError, type SqlAdapter } from "@behalf/core";
import type { CallToolResult } from "@modelcontextprotocol/server";

import type { Caller } from "./caller.ts";
import type { GatewayLog } from "./gateway-log.ts";
import { toolError } from "./tool-error.ts";
import type { ToolSet } from "./tool-list.ts";

/** Runs one tool call to its answer. Never throws: a failure is an answer that an agent can act on. */
export type ToolRunner = (
  name: string,
  args: unknown,
  caller: Caller,
  signal: AbortSignal,
) => Promise<CallToolResult>;

/** Codes that say something about the set-up and nothing about the call. */
const OPERATORS_CONCERN: ReadonlySet<string> = new Set([
  "configuration",
  "backend.identity_mismatch",
  "records.unavailable",
]);

export function toolRunner(
  tools: ToolSet,
  database: SqlAdapter,
  deadlineMs: number,
  log: GatewayLog,
): ToolRunner {
  return async (name, args, caller, signal) => {
    let callId: string | undefined;
    try {
      const tool = tools.byName.get(name);
      if (tool === undefined) throw new Error("the tool was looked up before");
      const delegation = await caller.delegationFor(name);
      callId = delegation.callId;
      const answer = await tool.call(args, { delegation, database, signal, deadlineMs });
      return { content: [{ type: "text", text: JSON.stringify(answer) }] };
    } catch (error) {
      const isOurs = BehalfError.isInstance(error);
      if (!isOurs || OPERATORS_CONCERN.has(error.code)) {
        log({
          level: "error",
          event: "tool_failed",
          tool: name,
          code: isOurs ? error.code : "internal",
          // What is no error of ours may quote anything: its class alone is safe to print.
          message: isOurs ? error.message : error instanceof Error ? error.name : typeof error,
          ...(callId === undefined ? {} : { callId }),
        });
      }
      const text = JSON.stringify(toolError(error, callId, tools.byName.get(name)?.access));
      return { content: [{ type: "text", text }], isError: true };
    }
  };
}
