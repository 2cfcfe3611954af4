import { stat } from "node:fs/promises";

import { isCallId, readRecordsFromEnd, type AuditRecord, type DecisionRecord } from "@behalf/core";

import { errorCode } from "./config-secret.ts";

/** What the records say of a call. */
export interface RecordedCall {
  readonly decision: DecisionRecord;
  /** The newest statement of a run, which has a record of its own. */
  readonly part?: DecisionRecord;
  /** Whether an outcome stands there, too: the call is over, whatever a session calls itself. */
  readonly hasEnded: boolean;
}

/** Most bytes of a file that are read from its end: half a million records. */
const MAX_BYTES = 256 * 1024 * 1024;
/** A record is this much older than the id of its own call at most: for a clock that was set back. */
const SLACK_MS = 3_600_000;

/**
 * Finds calls that run in the files of their gateways, each read from its end and no further than the oldest
 * of them can stand.
 *
 * @param problem is told what keeps a file from being read
 */
export async function callRecords(
  callIds: readonly string[],
  paths: readonly string[],
  problem: (message: string) => void,
): Promise<ReadonlyMap<string, RecordedCall>> {
  const wanted = new Set(callIds.filter(isCallId));
  const found = new Map<string, RecordedCall>();
  const oldest = Math.min(...[...wanted].map(timeOf)) - SLACK_MS;
  // One after the other: 1 MiB of one file is in memory, and what is wrong is told in the order of the files.
  for (const path of new Set(paths)) {
    try {
      await searchFile(path, wanted, oldest, found);
    } catch (error) {
      problem(`${path}: ${fileMessage(errorCode(error))}`);
    }
  }
  return found;
}

async function searchFile(
  path: string,
  wanted: ReadonlySet<string>,
  oldest: number,
  found: Map<string, RecordedCall>,
): Promise<void> {
  // To open a pipe waits for its writer, and it has no end to begin at.
  const named = await stat(path);
  if (!named.isFile() && !named.isDirectory()) {
    throw Object.assign(new Error("no file"), { code: "ENOFILE" });
  }
  const ended = new Set<string>();
  const parts = new Map<string, DecisionRecord>();
  let records = 0;
  for await (const record of readRecordsFromEnd(path, { maxBytes: MAX_BYTES })) {
    records += 1;
    if (Date.parse(record.time) < oldest) return;
    note(record);
    if ([...wanted].every((id) => found.has(id))) return;
  }
  // Whoever names another file than that of the records would take every call for unrecorded.
  if (records === 0) throw Object.assign(new Error("no record"), { code: "ENORECORD" });

  function note(record: AuditRecord): void {
    if (record.kind === "outcome") {
      if (wanted.has(record.id)) ended.add(record.id);
      return;
    }
    const { id, partOf } = record;
    if (partOf !== undefined && wanted.has(partOf) && !parts.has(partOf)) parts.set(partOf, record);
    if (!wanted.has(id) || found.has(id)) return;
    const part = parts.get(id);
    found.set(id, {
      decision: record,
      hasEnded: ended.has(id),
      ...(part === undefined ? {} : { part }),
    });
  }
}

/** RFC 9562: the first 48 bits of a UUID of version 7 are its time in milliseconds. Others have none. */
function timeOf(callId: string): number {
  const digits = callId.replaceAll("-", "");
  return digits[12] === "7" ? Number.parseInt(digits.slice(0, 12), 16) : -Infinity;
}

function fileMessage(code: string): string {
  switch (code) {
    case "ENORECORD":
      return "this file holds no record; name the file that the gateway writes (records.path)";
    case "ENOENT":
      return "there is no such file; name the file that the gateway writes (records.path)";
    case "ENOFILE":
      return "this is no file whose end can be read; name the file that the gateway writes (records.path)";
    case "EISDIR":
      return "this is a folder; name the file in it";
    case "EACCES":
    case "EPERM":
      return "this user may not read the file, which is for the gateway's alone; ask as that user";
    default:
      return `the file cannot be read (${code})`;
  }
}
