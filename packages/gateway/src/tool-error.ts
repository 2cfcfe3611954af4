import { BehalfError, type BehalfErrorCode } from "@behalf/core";

import { adviceFor } from "./tool-advice.ts";
import { ARGUMENTS } from "./tool-arguments.ts";

/** What an agent is told about a call that failed. */
export interface ToolErrorAnswer {
  readonly error: {
    readonly code: BehalfErrorCode | "arguments.invalid" | "internal";
    readonly message: string;
    /** PostgreSQL's own code. */
    readonly sqlstate?: string;
    /** A refinement of the code. */
    readonly reason?: string;
    /** Whether the very same call may succeed later. */
    readonly retry: boolean;
    /** What to do, for the agent. */
    readonly advice: string;
    /** `unknown`: a write may have happened all the same. */
    readonly effect?: "unknown";
    /** The call in the gateway's records. */
    readonly call_id?: string;
  };
}

/** Errors whose message is for whoever runs the gateway: it may name roles, tables and hosts. */
const OPERATORS: ReadonlySet<BehalfErrorCode> = new Set<BehalfErrorCode>([
  "configuration",
  "backend.identity_mismatch",
  "records.unavailable",
]);

/**
 * Translates whatever a tool threw. Pure. The server's own message is kept, because an agent can act on
 * it; what is no {@link BehalfError} gets a constant text, because nobody knows what it says.
 */
export function toolError(
  error: unknown,
  callId?: string,
  access: "read" | "write" = "read",
): ToolErrorAnswer {
  if (!BehalfError.isInstance(error)) {
    return {
      error: {
        code: "internal",
        message: "the tool failed in an unexpected way",
        retry: false,
        advice: "Do not repeat the call. Whoever runs the gateway finds the reason in its log.",
        ...(callId === undefined ? {} : { call_id: callId }),
      },
    };
  }
  if (error.reason === ARGUMENTS) {
    return {
      error: {
        code: "arguments.invalid",
        message: error.message,
        retry: false,
        advice: "Correct the arguments as the tool's input schema says, then call again.",
        ...(error.callId === undefined ? {} : { call_id: error.callId }),
      },
    };
  }
  const { retry, advice } = adviceFor(error, access);
  const id = error.callId ?? callId;
  return {
    error: {
      code: error.code,
      message: OPERATORS.has(error.code)
        ? "the gateway is not able to serve this call"
        : error.message.replace(/^\[[a-z-]+\] /, ""),
      ...(error.nativeCode !== undefined && /^[0-9A-Z]{5}$/.test(error.nativeCode)
        ? { sqlstate: error.nativeCode }
        : {}),
      ...(error.reason === undefined ? {} : { reason: error.reason }),
      retry,
      advice,
      ...(error.effect === "unknown" ? { effect: "unknown" } : {}),
      ...(id === undefined ? {} : { call_id: id }),
    },
  };
}
