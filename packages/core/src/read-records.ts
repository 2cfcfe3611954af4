import { createReadStream } from "node:fs";
import type { AuditRecord } from "./audit-record.ts";
import { isJsonObject } from "./json-object.ts";

/** The records of a file, in their order. Read it once. */
export interface RecordReader extends AsyncIterable<AuditRecord> {
  /** Pieces of lines that were no records: what crashes left torn. Final when the reading is over. */
  readonly tornLines: number;
}

/** Longest line that is kept in memory. A record is some 500 bytes; a recorded statement may be long. */
const MAX_LINE_LENGTH = 64 * 1024 * 1024;

/**
 * Reads what {@link jsonlSink} wrote, also while it is being written. A torn line is skipped and
 * counted; a whole one that was appended right behind it is found.
 *
 * @throws whatever the file system says
 * @example
 * ```ts
 * for await (const record of readRecords("audit.jsonl")) console.log(record.time, record.kind);
 * ```
 */
export function readRecords(path: string): RecordReader {
  let tornLines = 0;
  return {
    get tornLines() {
      return tornLines;
    },
    async *[Symbol.asyncIterator]() {
      for await (const line of linesOf(path)) {
        const whole = recordOf(line);
        if (whole === undefined) tornLines += 1;
        const record = whole ?? recordIn(line);
        if (record !== undefined) yield record;
      }
    },
  };
}

/**
 * Lines end with `\n` alone. node:readline also ends them with U+2028, which JSON leaves as it is: a
 * statement that holds one would tear its own record.
 */
async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = "";
  for await (const chunk of createReadStream(path, { encoding: "utf8" })) {
    const lines = `${rest}${String(chunk)}`.split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE_LENGTH) rest = "";
    yield* lines.filter((line) => line !== "");
  }
  if (rest !== "") yield rest;
}

/**
 * A process that dies while it writes leaves half a line, and the line of another process may follow
 * at once. This text begins a record and nothing else: within JSON strings its quotes are escaped.
 */
function lastRecordIn(line: string): string {
  const start = line.lastIndexOf('{"v":1,"kind":"');
  return start > 0 ? line.slice(start) : "";
}

/** The record of a line, or the whole one that was appended right behind a torn one. */
export function recordIn(line: string): AuditRecord | undefined {
  return recordOf(line) ?? recordOf(lastRecordIn(line));
}

function recordOf(line: string): AuditRecord | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is AuditRecord {
  if (!isJsonObject(value) || value["v"] !== 1) return false;
  if (typeof value["id"] !== "string" || typeof value["time"] !== "string") return false;
  const { kind, decision, status } = value;
  return (
    (kind === "decision" && (decision === "allow" || decision === "deny")) ||
    (kind === "outcome" && (status === "ok" || status === "error"))
  );
}
