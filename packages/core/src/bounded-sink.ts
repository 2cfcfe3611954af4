import type { DecisionRecord, OutcomeRecord, RecordSink } from "./audit-record.ts";
import { type CallClock, orStopped } from "./call-clock.ts";
import { BehalfError } from "./errors.ts";

/** Longest time that a finished call waits for its outcome to be durable, in milliseconds. */
const OUTCOME_MS = 5_000;

/**
 * A sink for one call: its decision is waited for as long as the call may take, its outcome for 5 s. A
 * sink that hangs must not make a call hang that has a deadline.
 *
 * A call that has to end while its decision is being written does not run. Where the decision becomes durable
 * after all, an outcome says so: alone it would read as a call of which nobody knows what it did.
 *
 * @param clock of the call; there is none before its options were checked
 * @param leave is told what goes on when the call is over
 */
export function boundedSink(
  records: RecordSink,
  clock: () => CallClock | undefined,
  leave: (ending: Promise<unknown>) => void,
): RecordSink {
  return {
    write(record) {
      const callsClock = record.kind === "decision" ? clock() : undefined;
      const written = records.write(record);
      // A refusal because the clock has stopped is to be recorded all the same.
      const isLate =
        record.kind === "decision" && record.decision === "deny" && callsClock?.stopped;
      if (record.kind === "outcome" || callsClock === undefined || isLate) return inTime(written);
      return orStopped(written, callsClock).catch((error: unknown) => {
        const { stopped } = callsClock;
        if (record.decision === "allow" && stopped !== undefined && error === stopped) {
          const late = written.then(() => records.write(outcomeOfNone(record, stopped)));
          // A sink that never answers must not be remembered for each call.
          leave(inTime(late));
        }
        throw error;
      });
    },
    close: () => records.close(),
  };
}

/** The outcome of a call that was allowed and never ran. */
function outcomeOfNone({ id, time }: DecisionRecord, { code }: BehalfError): OutcomeRecord {
  const now = new Date();
  return {
    v: 1,
    kind: "outcome",
    id,
    time: now.toISOString(),
    durationMs: Math.max(0, now.getTime() - Date.parse(time)),
    status: "error",
    code,
    effect: "none",
  };
}

function inTime(written: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timeout = setTimeout(() => {
      reject(
        new BehalfError(
          "records.unavailable",
          `the record was not durable within ${OUTCOME_MS} ms`,
        ),
      );
    }, OUTCOME_MS);
    written.then(
      () => {
        clearTimeout(timeout);
        resolve();
      },
      (error: unknown) => {
        clearTimeout(timeout);
        reject(error);
      },
    );
  });
}
