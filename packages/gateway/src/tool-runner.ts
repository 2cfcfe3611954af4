import { BehalfError, type Delegation, type SqlAdapter } from "@behalf/core";
import type { CallToolResult } from "@modelcontextprotocol/server";

import type { Caller } from "./caller.ts";
import type { GatewayLog } from "./gateway-log.ts";
import { ARGUMENTS } from "./tool-arguments.ts";
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

export function toolRunner(options: {
  readonly tools: ToolSet;
  /** Names of the tools whose SQL an author wrote: what is wrong with it is nothing that an agent can mend. */
  readonly authored: ReadonlySet<string>;
  readonly database: SqlAdapter;
  readonly deadlineMs: number;
  readonly log: GatewayLog;
}): ToolRunner {
  const { tools, authored, database, deadlineMs, log } = options;
  return async (name, args, caller, signal) => {
    let callId: string | undefined;
    let delegation: Delegation | undefined;
    try {
      const tool = tools.byName.get(name);
      if (tool === undefined) throw new Error("the tool was looked up before");
      delegation = await caller.delegationFor(name);
      callId = delegation.callId;
      const answer = await tool.call(args, { delegation, database, signal, deadlineMs });
      return { content: [{ type: "text", text: JSON.stringify(answer) }] };
    } catch (thrown) {
      const error = await explained(thrown, authored.has(name), (refused) =>
        caller.refuse(delegation, refused),
      );
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

/**
 * What a tool threw, as its answer and the log see it: arguments that were refused get their record, because
 * no adapter saw them, and an author's broken SQL is the operator's concern.
 */
async function explained(
  thrown: unknown,
  isAuthored: boolean,
  refuse: (error: BehalfError) => Promise<BehalfError>,
): Promise<unknown> {
  if (!BehalfError.isInstance(thrown)) return thrown;
  if (thrown.reason === ARGUMENTS) return refuse(thrown);
  const state = thrown.nativeCode ?? "";
  const isBroken =
    isAuthored && (state === "08P01" || (state.startsWith("42") && state !== "42501"));
  if (!isBroken) return thrown;
  const { message, callId } = thrown;
  return new BehalfError("configuration", `the tool's statement is wrong: ${message}`, {
    reason: "statement",
    nativeCode: state,
    ...(callId === undefined ? {} : { callId }),
  });
}
