import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const WITHIN_MS = 10_000;

/**
 * Removes a file or a folder and looks whether it is gone. Node 24's `rm` can return normally and
 * leave a folder in which a server that ends was still at work.
 *
 * @throws Error when it is still there after 10 s.
 */
export async function removeFolder(path: string): Promise<void> {
  const deadline = Date.now() + WITHIN_MS;
  let cause: unknown;
  for (;;) {
    try {
      await rm(path, { recursive: true, force: true });
    } catch (error) {
      cause = error;
    }
    if (!existsSync(path)) return;
    if (Date.now() > deadline) {
      throw new Error(`[@behalf/local] could not remove ${path}: remove it by hand`, { cause });
    }
    await sleep(25);
  }
}
