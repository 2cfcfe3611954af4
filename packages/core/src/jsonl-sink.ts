import type { AuditRecord, RecordSink } from "./audit-record.ts";
import { BehalfError } from "./errors.ts";
import { openAppendOnly, type AppendOnlyFile } from "./jsonl-file.ts";
import { numberOption, textOption } from "./option-checks.ts";

export interface JsonlSinkOptions {
  /** The file. It is created with mode 0600; its directory must be there. */
  readonly path: string;
  /**
   * `fsync`: a record survives the loss of power before its call runs. `write`: it survives the death
   * of this process, not that of the machine. Default is `fsync`.
   */
  readonly durability?: "fsync" | "write";
  /**
   * Most bytes of records that wait to be written; more are refused, and their calls with them.
   * Default is `67108864` (64 MiB), some 100,000 calls at once.
   */
  readonly maxPendingBytes?: number;
}

/** What every line begins with. */
const RECORD_START = '{"v":1,"kind":"';

interface Waiting {
  readonly line: string;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: BehalfError) => void;
}

/**
 * A {@link RecordSink} that appends to a file, one JSON object a line. Records that arrive while a
 * write is under way share the next one. Several processes may append to one file on a local disk.
 *
 * After an error the records that were being written count as lost (some of them may stand in the
 * file all the same) and their calls are refused; the next record opens the file anew. So calls are
 * refused for as long as the disk is full, and no longer. A file that is rotated must be rotated by
 * copying and truncating, or by restarting the process: the open file is kept.
 *
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const records = jsonlSink({ path: "audit.jsonl" });
 * const front = delegator({ verifier, records });
 * // ...
 * await records.close();
 * ```
 */
export function jsonlSink(options: JsonlSinkOptions): RecordSink {
  const path = textOption("path", options.path);
  const isSynced = (options.durability ?? "fsync") === "fsync";
  const maxPending = numberOption("maxPendingBytes", options.maxPendingBytes, 64 * 1024 * 1024, 1);
  let file: AppendOnlyFile | undefined;
  let waiting: Waiting[] = [];
  let pendingBytes = 0;
  let running: Promise<void> | undefined;
  let isClosed = false;

  async function appendBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      file ??= await openAppendOnly(path, isSynced);
      await file.append(batch.map(({ line }) => line).join(""));
      for (const { resolve } of batch) resolve();
    } catch (error) {
      // After a failed fsync the kernel may have dropped the pages: this handle says nothing any more.
      await file?.close().catch(() => undefined);
      file = undefined;
      const failure = unwritten(error);
      for (const { reject } of batch) reject(failure);
    }
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      // Whoever writes within the same turn is in the batch: without this the first would go alone, and
      // the others would wait for two syncs.
      await Promise.resolve();
      const batch = waiting;
      waiting = [];
      await appendBatch(batch);
      for (const { bytes } of batch) pendingBytes -= bytes;
    }
    running = undefined;
  }

  return {
    write(record) {
      return new Promise((resolve, reject) => {
        if (isClosed) throw new BehalfError("closed", "the record sink is closed");
        const line = lineOf(record);
        const bytes = Buffer.byteLength(line);
        if (pendingBytes + bytes > maxPending) {
          throw new BehalfError("records.unavailable", "too many records wait to be written", {
            reason: "backpressure",
          });
        }
        pendingBytes += bytes;
        waiting.push({ line, bytes, resolve, reject });
        running ??= drain();
      });
    },
    async close() {
      isClosed = true;
      await running;
      await file?.close();
      file = undefined;
    },
  };
}

/** `v` and `kind` come first: the reader finds a whole line behind a torn one by them. */
function lineOf(record: AuditRecord): string {
  const text = JSON.stringify(record);
  if (text.startsWith(RECORD_START)) return `${text}\n`;
  const { v, kind, ...rest } = record;
  return `${JSON.stringify({ v, kind, ...rest })}\n`;
}

function unwritten(cause: unknown): BehalfError {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "unknown";
  return new BehalfError("records.unavailable", `the record file cannot be written: ${code}`, {
    reason: "write",
    nativeCode: code,
    cause,
  });
}
