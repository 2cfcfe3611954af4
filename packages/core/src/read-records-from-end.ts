import { open } from "node:fs/promises";

import type { AuditRecord } from "./audit-record.ts";
import { recordIn } from "./read-records.ts";

const NEWLINE = 0x0a;
const CHUNK_BYTES = 1024 * 1024;
/** Longest line that is kept in memory, as in {@link readRecords}. */
const MAX_LINE_BYTES = 64 * 1024 * 1024;

/**
 * The records of a file, the newest first, also while it is being written. What runs now has its decision
 * near the end: of a file of any size only that much is read, and 1 MiB of it is in memory at a time.
 *
 * @param options.maxBytes reads no further back than so much. Default is all of it
 * @throws whatever the file system says
 * @example
 * ```ts
 * for await (const record of readRecordsFromEnd("audit.jsonl")) {
 *   if (record.id === callId) break;
 * }
 * ```
 */
export async function* readRecordsFromEnd(
  path: string,
  options: { readonly maxBytes?: number } = {},
): AsyncGenerator<AuditRecord> {
  for await (const line of linesFromEnd(path, options.maxBytes ?? Infinity)) {
    const record = recordIn(line);
    if (record !== undefined) yield record;
  }
}

async function* linesFromEnd(path: string, maxBytes: number): AsyncGenerator<string> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const end = Math.max(0, size - maxBytes);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    // The beginning of what was read last: the end of a line that begins further up.
    let rest = Buffer.alloc(0);
    for (let position = size; position > end;) {
      const length = Math.min(CHUNK_BYTES, position - end);
      position -= length;
      const { bytesRead } = await file.read(chunk, 0, length, position);
      const text = Buffer.concat([chunk.subarray(0, bytesRead), rest]);
      const first = text.indexOf(NEWLINE);
      if (first === -1) {
        rest = text.length > MAX_LINE_BYTES ? Buffer.alloc(0) : text;
        continue;
      }
      rest = Buffer.from(text.subarray(0, first));
      const lines = text.toString("utf8", first + 1).split("\n");
      for (const line of lines.toReversed()) if (line !== "") yield line;
    }
    // Where it did not begin with the file, it is half a line.
    if (end === 0 && rest.length > 0) yield rest.toString("utf8");
  } finally {
    await file.close();
  }
}
