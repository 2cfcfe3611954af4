import { constants, fdatasync, fstatSync, writeSync } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";

const NEWLINE = 0x0a;

/** Most bytes that are written on the main thread: to copy them takes less than to wake another one. */
const MAX_SYNC_BYTES = 65_536;

const sync = promisify(fdatasync);

/** A file that only grows, line by line. */
export interface AppendOnlyFile {
  /**
   * Appends whole lines with ONE write call, so that the lines of several processes do not mix
   * (O_APPEND), and makes them durable.
   *
   * @throws when it is not certain that all of it is durable; the file is then of no use any more
   */
  append(lines: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * Opens or creates the file, for its owner alone. A last line that a crash left torn stays, and the
 * next line begins on its own.
 */
export async function openAppendOnly(path: string, isSynced: boolean): Promise<AppendOnlyFile> {
  const flags = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT;
  const file = await open(path, flags, 0o600);
  let isTorn: boolean;
  try {
    isTorn = await endsTorn(file);
    // A new file is only durable when its name is. Windows opens no directories and needs none of this.
    if (isSynced && process.platform !== "win32") await syncDirectory(dirname(path));
  } catch (error) {
    await file.close();
    throw error;
  }

  return {
    async append(lines) {
      // Records in a file without a name are lost when it is closed.
      if (fstatSync(file.fd).nlink === 0) {
        throw Object.assign(new Error("the file was deleted"), { code: "ENOENT" });
      }
      const bytes = Buffer.from(isTorn ? `\n${lines}` : lines, "utf8");
      // Into the page cache: with the stat 7 us here, 32 us by way of the thread pool. The disk is waited
      // for below, and on a thread.
      const bytesWritten =
        bytes.length <= MAX_SYNC_BYTES
          ? writeSync(file.fd, bytes, 0, bytes.length, null)
          : (await file.write(bytes, 0, bytes.length, null)).bytesWritten;
      if (bytesWritten !== bytes.length) {
        throw Object.assign(new Error("the line was only written in part"), { code: "ESHORT" });
      }
      isTorn = false;
      if (isSynced) await sync(file.fd);
    },
    close: () => file.close(),
  };
}

async function endsTorn(file: FileHandle): Promise<boolean> {
  const { size } = await file.stat();
  if (size === 0) return false;
  const last = Buffer.alloc(1);
  await file.read(last, 0, 1, size - 1);
  return last[0] !== NEWLINE;
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
