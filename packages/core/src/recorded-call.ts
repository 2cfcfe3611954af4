import { assertDelegation } from "./assert-delegation.ts";
import type { OutcomeRecord, RecordSink } from "./audit-record.ts";
import { decisionOf, type CallFacts, type OpenDecision } from "./decision-record.ts";
import { BehalfError, type BehalfErrorFacts } from "./errors.ts";

/** What the work learns about its own outcome. */
export interface OutcomeFacts {
  readonly rows?: number;
  readonly affectedRows?: number;
  readonly bytes?: number;
  readonly truncated?: "rows" | "bytes" | null;
  /** The backend's own evidence: process id, session start, role. Never a credential. */
  readonly native?: { readonly [name: string]: string | number };
  /**
   * Whether data may have been changed, for work that throws what is no BehalfError (one that is has
   * its own). Default is `none` for reads and `unknown` for writes.
   */
  readonly effect?: "none" | "unknown";
}

/** Adds facts to the outcome; a later one replaces an earlier one of the same name. */
export type NoteOutcome = (facts: OutcomeFacts) => void;

/**
 * Runs `work` between its two records: the decision is durable BEFORE `work` starts, the outcome
 * after it. Every adapter call goes through here.
 *
 * The delegation is checked first; one that is stale or wrong leaves a denied decision. If the
 * decision cannot be written, `work` does not run. If only the outcome cannot be written, the call
 * fails although its work is done, with effect `unknown` for a write, so that nobody repeats it
 * blindly. The decision then stands alone, which readers show as: unknown.
 *
 * `work` is told the call id: the delegation's, or one of its own where the delegation is used again.
 *
 * @throws BehalfError `records.unavailable`, or what {@link assertDelegation} or `work` throws; a
 *   BehalfError of `work` gets the call id and the backend
 * @example
 * ```ts
 * const facts = { delegation, backend: "postgres", action: "query", access: "read", statement } as const;
 * return recordedCall(sink, facts, async (note) => {
 *   const result = await client.query(statement);
 *   note({ rows: result.rows.length, native: { pid } });
 *   return result;
 * });
 * ```
 */
export async function recordedCall<T>(
  sink: RecordSink,
  call: CallFacts,
  work: (note: NoteOutcome, callId: string) => Promise<T>,
): Promise<T> {
  try {
    assertDelegation(call.delegation);
  } catch (error) {
    if (!BehalfError.isInstance(error)) throw error;
    throw await recordDenied(sink, call, error);
  }
  const decision = decisionOf(call);
  const { id: callId } = decision;
  try {
    await sink.write({ ...decision, decision: "allow" });
  } catch (cause) {
    throw unrecorded(call, callId, "its decision could not be recorded, so it did not run", {
      cause,
    });
  }

  const startedMs = performance.now();
  let facts: OutcomeFacts = {};
  const outcome = (): Omit<OutcomeRecord, "status"> => {
    const { effect: _, ...noted } = facts;
    const durationMs = Math.round((performance.now() - startedMs) * 1000) / 1000;
    const time = new Date().toISOString();
    return { v: 1, kind: "outcome", id: callId, time, ...noted, durationMs };
  };
  const isWrite = call.access === "write";

  let result: T;
  try {
    result = await work((more) => {
      facts = { ...facts, ...more };
    }, callId);
  } catch (thrown) {
    const error = BehalfError.isInstance(thrown) ? thrown : undefined;
    const effect = error?.effect ?? facts.effect ?? (isWrite ? "unknown" : "none");
    try {
      await sink.write({
        ...outcome(),
        status: "error",
        ...(error === undefined ? {} : { code: error.code }),
        ...(error?.nativeCode === undefined ? {} : { nativeCode: error.nativeCode }),
        effect,
      });
    } catch {
      // The cause is what the work said: the sink's own trouble shows at the next call, too.
      throw unrecorded(call, callId, "it failed, and its outcome could not be recorded", {
        cause: thrown,
        effect,
      });
    }
    throw error === undefined ? thrown : error.forCall(callId, call.backend);
  }

  try {
    await sink.write({ ...outcome(), status: "ok" });
  } catch (cause) {
    throw unrecorded(call, callId, "it ran, but its outcome could not be recorded", {
      cause,
      effect: isWrite ? "unknown" : "none",
    });
  }
  return result;
}

/**
 * Records that a call was refused before it ran, and returns the error to throw: the given one with
 * its call id, or `records.unavailable` with the given one as its cause.
 *
 * @example
 * ```ts
 * throw await recordDenied(sink, facts, new BehalfError("task.required", "this backend asks for a task"));
 * ```
 */
export function recordDenied(
  sink: RecordSink,
  call: CallFacts,
  error: BehalfError,
): Promise<BehalfError> {
  return writeDenied(sink, decisionOf(call), error);
}

/** The same where there is no delegation yet: at the front door. */
export async function writeDenied(
  sink: RecordSink,
  decision: OpenDecision,
  error: BehalfError,
): Promise<BehalfError> {
  const refused = error.forCall(decision.id, decision.backend);
  try {
    await sink.write({
      ...decision,
      decision: "deny",
      code: refused.code,
      ...(refused.reason === undefined ? {} : { reason: refused.reason }),
    });
    return refused;
  } catch {
    return new BehalfError(
      "records.unavailable",
      "the call was refused, and the refusal could not be recorded; repair the record sink",
      {
        callId: decision.id,
        cause: refused,
        ...(decision.backend === undefined ? {} : { backend: decision.backend }),
      },
    );
  }
}

function unrecorded(
  call: CallFacts,
  callId: string,
  what: string,
  facts: BehalfErrorFacts,
): BehalfError {
  return new BehalfError("records.unavailable", `call ${callId}: ${what}; repair the record sink`, {
    ...facts,
    callId,
    backend: call.backend,
  });
}
