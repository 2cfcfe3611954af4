import type { RecordSink } from "./audit-record.ts";
import { type CallClock, orStopped } from "./call-clock.ts";
import { BehalfError } from "./errors.ts";

/** Longest time that a finished call waits for its outcome to be durable, in milliseconds. */
const OUTCOME_MS = 5_000;

/**
 * A sink for one call: its decision is waited for as long as the call may take, its outcome for 5 s. A
 * sink that hangs must not make a call hang that has a deadline.
 *
 * @param clock of the call; there is none before its options were checked
 */
export function boundedSink(records: RecordSink, clock: () => CallClock | undefined): RecordSink {
  return {
    write(record) {
      const callsClock = record.kind === "decision" ? clock() : undefined;
      const written = records.write(record);
      // A refusal because the clock has stopped is to be recorded all the same.
      const isLate =
        record.kind === "decision" && record.decision === "deny" && callsClock?.stopped;
      return callsClock === undefined || isLate ? inTime(written) : orStopped(written, callsClock);
    },
    close: () => records.close(),
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
