import type { RecordSink } from "./audit-record.ts";
import type { CallFacts } from "./decision-record.ts";
import type { BehalfError } from "./errors.ts";
import { type NoteOutcome, recordDenied, recordedCall } from "./recorded-call.ts";

/** Translates what a driver, a socket or a backend threw. */
export type MapError = (error: unknown) => BehalfError;

/**
 * A call between its records. What `check` throws leaves a denied decision and never reaches the
 * backend; what `work` throws is mapped, so that the outcome has its code.
 */
export async function checkedCall<C, T>(
  records: RecordSink,
  facts: CallFacts,
  mapError: MapError,
  check: () => C,
  work: (checked: C, note: NoteOutcome, callId: string) => Promise<T>,
): Promise<T> {
  let checked: C;
  try {
    checked = check();
  } catch (error) {
    throw await recordDenied(records, facts, mapError(error));
  }
  return recordedCall(records, facts, async (note, callId) => {
    try {
      return await work(checked, note, callId);
    } catch (error) {
      throw error instanceof CallerFailure ? error.thrown : mapError(error);
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
