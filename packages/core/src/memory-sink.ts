import type { AuditRecord, RecordSink } from "./audit-record.ts";
import { BehalfError } from "./errors.ts";

/** A {@link RecordSink} that keeps everything in memory. */
export interface MemorySink extends RecordSink {
  /** What was written, oldest first. */
  readonly records: readonly AuditRecord[];
}

/**
 * Makes a sink for tests. It is not durable and not bounded.
 *
 * @example
 * ```ts
 * const sink = memorySink();
 * await adapter.query(delegation, "select 1");
 * sink.records.map((record) => record.kind); // ["decision", "outcome"]
 * ```
 */
export function memorySink(): MemorySink {
  const records: AuditRecord[] = [];
  let isClosed = false;
  return {
    records,
    async write(record) {
      if (isClosed) throw new BehalfError("closed", "the record sink is closed");
      // A copy: what was written must not change with the caller's object.
      records.push(structuredClone(record));
    },
    async close() {
      isClosed = true;
    },
  };
}
