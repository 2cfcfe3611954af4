import { BehalfError, type RecordSink } from "@behalf/core";

/** How long after a record that could not be written the gateway calls itself not ready, in milliseconds. */
const UNWELL_MS = 5_000;

/** A sink, and whether it works: a gateway that cannot record serves nobody, and should be sent nobody. */
export interface WatchedSink {
  readonly sink: RecordSink;
  /** Rejects for a while after a record was lost; then the next call tries again. */
  readonly check: () => Promise<void>;
}

export function watchedSink(sink: RecordSink, now: () => number = Date.now): WatchedSink {
  let failedAt = Number.NEGATIVE_INFINITY;
  return {
    sink: {
      async write(record) {
        try {
          await sink.write(record);
        } catch (error) {
          failedAt = now();
          throw error;
        }
      },
      close: () => sink.close(),
    },
    async check() {
      if (now() - failedAt < UNWELL_MS) {
        throw new BehalfError("records.unavailable", "the last record could not be written");
      }
    },
  };
}
