import { type AuditRecord, memorySink, type MemorySink } from "@behalf/core";

/** A sink in memory that can hold back or refuse what is written. */
export interface WatchedRecords extends MemorySink {
  /** Is asked before each record is written: it may wait, or throw. `null` writes at once. */
  before(hook: ((record: AuditRecord) => Promise<void>) | null): void;
}

export function watchedRecords(): WatchedRecords {
  const sink = memorySink();
  let hook: Parameters<WatchedRecords["before"]>[0] = null;
  return {
    ...sink,
    before(next) {
      hook = next;
    },
    async write(record) {
      await hook?.(record);
      await sink.write(record);
    },
  };
}
