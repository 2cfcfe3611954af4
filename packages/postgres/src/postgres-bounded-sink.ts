import { BehalfError, type RecordSink } from "@behalf/core";

import { type CallClock, orStopped } from "./postgres-clock.ts";

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
    async write(record) {
      const callsClock = record.kind === "decision" ? clock() : undefined;
      if (callsClock !== undefined) {
        await orStopped(records.write(record), callsClock);
        return;
      }
      const timer = Promise.withResolvers<never>();
      const timeout = setTimeout(() => {
        timer.reject(
          new BehalfError(
            "records.unavailable",
            `the record was not durable within ${OUTCOME_MS} ms`,
          ),
        );
      }, OUTCOME_MS);
      const written = records.write(record);
      written.catch(() => {});
      try {
        await Promise.race([written, timer.promise]);
      } finally {
        clearTimeout(timeout);
      }
    },
    close: () => records.close(),
  };
}
