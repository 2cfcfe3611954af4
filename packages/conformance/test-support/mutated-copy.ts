import { cp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** One place in a source that is made wrong. */
export interface Change {
  /** From the package's folder, for example `src/memory/memory-pool.ts`. */
  readonly file: string;
  /** Stands there exactly once. */
  readonly from: string;
  readonly to: string;
}

/** A copy of a package's sources with something wrong in it; gone with its scope. */
export interface MutatedCopy extends AsyncDisposable {
  /** The URL of one of its files, to be imported. */
  url(file: string): string;
}

const packages = new URL("../../", import.meta.url);

/**
 * Copies sources beside the package's own, where what they import is found, and changes them there.
 *
 * @param name the package's folder
 * @param folders what is copied, for example `["src", "sql"]`
 * @throws Error when a text that is to be changed is not there exactly once: the mutant is out of date
 */
export async function mutatedCopy(
  name: string,
  folders: readonly string[],
  id: string,
  changes: readonly Change[],
): Promise<MutatedCopy> {
  const source = new URL(`${name}/`, packages);
  // Another run, or one before that was killed, must not be in the way.
  const target = new URL(`${name}/.mutants/${process.pid}-${id}/`, packages);
  const dispose = () => rm(target, { recursive: true, force: true });
  try {
    await mkdir(target, { recursive: true });
    for (const folder of folders) {
      const isSource = (path: string) => !/\.test(-d)?\.ts$/.test(path);
      await cp(new URL(folder, source), new URL(folder, target), {
        recursive: true,
        filter: isSource,
      });
    }
    for (const { file, from, to } of changes) {
      const path = new URL(file, target);
      const text = await readFile(path, "utf8");
      const places = text.split(from).length - 1;
      if (places !== 1) {
        throw new Error(
          `mutant ${id}: what it changes in ${file} is there ${places} times: ${from}`,
        );
      }
      await writeFile(
        path,
        text.replace(from, () => to),
      );
    }
  } catch (error) {
    await dispose();
    throw error;
  }
  return { url: (file) => new URL(file, target).href, [Symbol.asyncDispose]: dispose };
}

/** What a run that was killed left behind. */
export async function removeMutatedCopies(name: string): Promise<void> {
  await rm(fileURLToPath(new URL(`${name}/.mutants`, packages)), { recursive: true, force: true });
}
