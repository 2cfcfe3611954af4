import {
  type CallFacts,
  type NoteOutcome,
  type RecordSink,
  recordDenied,
  recordedCall,
} from "@behalf/core";

import { mapPostgresError } from "./postgres-errors.ts";

/**
 * A call between its records. What `check` throws leaves a denied decision and never reaches the
 * database; what `work` throws is mapped, so that the outcome has its code.
 */
export async function checkedCall<C, T>(
  records: RecordSink,
  facts: CallFacts,
  check: () => C,
  work: (checked: C, note: NoteOutcome, callId: string) => Promise<T>,
): Promise<T> {
  let checked: C;
  try {
    checked = check();
  } catch (error) {
    throw await recordDenied(records, facts, mapPostgresError(error, "call"));
  }
  return recordedCall(records, facts, async (note, callId) => {
    try {
      return await work(checked, note, callId);
    } catch (error) {
      throw error instanceof CallerFailure ? error.thrown : mapPostgresError(error, "call");
    }
  });
}

/** Carries what the caller's own code threw past the mapping of errors. */
export class CallerFailure {
  readonly thrown: unknown;

  constructor(thrown: unknown) {
    this.thrown = thrown;
  }
}
