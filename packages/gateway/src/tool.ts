import type { Delegation, SqlAdapter } from "@behalf/core";
import type { z } from "zod";

/** What a tool gets for one call. */
export interface ToolCall {
  /** Of this one call: who, and under which id it stands in the records. */
  readonly delegation: Delegation;
  readonly database: SqlAdapter;
  /** Fires when the client goes away or the gateway ends. */
  readonly signal: AbortSignal;
  /** Milliseconds. */
  readonly deadlineMs: number;
}

/** A tool of the gateway. Authors make one with `statementTool`; the built-in ones are made here. */
export interface Tool {
  readonly name: string;
  readonly title?: string | undefined;
  readonly description: string;
  readonly access: "read" | "write";
  /** For a tool that writes: whether a second call with the same arguments changes nothing more. */
  readonly idempotent?: boolean | undefined;
  /** For a tool that writes: whether it can take something away, beside adding. Default is `true`. */
  readonly destructive?: boolean | undefined;
  /** What the agent may pass. Members it does not name are refused. */
  readonly input: z.ZodObject;
  /**
   * @param args as the agent sent them; the tool checks them against `input`
   * @returns what becomes the JSON text of the answer
   */
  call(args: unknown, call: ToolCall): Promise<unknown>;
}
