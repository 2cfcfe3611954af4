import { spawnSync } from "node:child_process";
import {
  chmodSync,
  constants,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import type { ServerOwner } from "./postgres-messages.ts";

/**
 * Gives the folder from which `owner` can run PostgreSQL: the installed one if that account reaches
 * it, else a copy below `folder`, made once per process. A clone in a home directory of mode 700 is
 * the usual reason for a copy.
 */
export function reachableBinaries(
  installed: string,
  owner: ServerOwner | undefined,
  folder: string,
  copies: Map<string, string>,
): string {
  if (owner === undefined || runsAs(owner, installed)) return installed;
  const known = copies.get(installed);
  if (known !== undefined) return known;
  const copy = join(folder, `native-${copies.size + 1}`);
  copyTree(installed, copy);
  copies.set(installed, copy);
  return copy;
}

function runsAs(owner: ServerOwner, binaries: string): boolean {
  const program = join(binaries, "bin", "postgres");
  const { status } = spawnSync(program, ["--version"], { ...owner, cwd: "/", stdio: "ignore" });
  return status === 0;
}

// Synchronous on purpose: a copy cannot go on in the background while the folder is being removed.
function copyTree(from: string, to: string): void {
  mkdirSync(to);
  // The mode that mkdir takes is subject to the umask.
  chmodSync(to, 0o755);
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const source = join(from, entry.name);
    const target = join(to, entry.name);
    if (entry.isDirectory()) copyTree(source, target);
    else if (entry.isSymbolicLink()) symlinkSync(readlinkSync(source), target);
    else copyFile(source, target);
  }
}

// A hard link costs no space and no time (60 MB copied take 0.1 to 0.5 s), but it shares the mode of
// the file and works within one file system only.
function copyFile(source: string, target: string): void {
  const { mode } = statSync(source);
  const wanted = (mode & 0o100) === 0 ? 0o644 : 0o755;
  if ((mode & wanted & 0o007) === (wanted & 0o007)) {
    try {
      linkSync(source, target);
      return;
    } catch {
      // Another file system, or one without hard links: copied below.
    }
  }
  copyFileSync(source, target, constants.COPYFILE_FICLONE);
  chmodSync(target, wanted);
}
