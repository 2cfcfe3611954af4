import { cp, mkdir, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, relative } from "node:path";
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

export interface MutatedCopyOptions {
  /** The package's folder, for example `conformance`. */
  readonly name: string;
  /** What is copied. Default is `["src"]`. */
  readonly folders?: readonly string[];
  readonly id: string;
  readonly changes: readonly Change[];
  /** Changes of `@behalf/core`, which the copy then uses in place of the real one. Default is none. */
  readonly core?: readonly Change[];
}

const packages = new URL("../../", import.meta.url);

/**
 * Copies sources beside the package's own, where what they import is found, and changes them there.
 *
 * @throws Error when a text that is to be changed is not there exactly once: the mutant is out of date
 */
export async function mutatedCopy({
  name,
  folders = ["src"],
  id,
  changes,
  core = [],
}: MutatedCopyOptions): Promise<MutatedCopy> {
  await using copies = new AsyncDisposableStack();
  const copy = async (of: string, which: readonly string[], all: readonly Change[]) => {
    const target = new URL(`${of}/.mutants/${process.pid}-${id}/`, packages);
    copies.defer(() => rm(target, { recursive: true, force: true }));
    await copyOf(new URL(`${of}/`, packages), target, which);
    for (const change of all) await make(change, target, id);
    return target;
  };
  const target = await copy(name, folders, changes);
  if (core.length > 0) await useCore(target, await copy("core", ["src"], core));
  const kept = copies.move();
  return {
    url: (file) => new URL(file, target).href,
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

async function copyOf(source: URL, target: URL, folders: readonly string[]): Promise<void> {
  await mkdir(target, { recursive: true });
  for (const folder of folders) {
    await cp(new URL(folder, source), new URL(folder, target), {
      recursive: true,
      filter: (path) => !/\.test(-d)?\.ts$/.test(path),
    });
  }
}

async function make({ file, from, to }: Change, target: URL, id: string): Promise<void> {
  const path = new URL(file, target);
  const text = await readFile(path, "utf8");
  const places = text.split(from).length - 1;
  if (places !== 1) {
    throw new Error(`mutant ${id}: what it changes in ${file} is there ${places} times: ${from}`);
  }
  await writeFile(
    path,
    text.replace(from, () => to),
  );
}

/** Lets every import of the core package in a copy lead to another copy. */
async function useCore(target: URL, core: URL): Promise<void> {
  const entry = fileURLToPath(new URL("src/index.ts", core));
  const entries = await readdir(target, { recursive: true, withFileTypes: true });
  for (const found of entries) {
    if (!found.isFile() || !found.name.endsWith(".ts")) continue;
    const path = `${found.parentPath}/${found.name}`;
    const text = await readFile(path, "utf8");
    const way = relative(dirname(path), entry);
    await writeFile(
      path,
      text.replaceAll('from "@behalf/core"', () => `from "${way}"`),
    );
  }
}

/** What runs that were killed left behind. Copies of runs that go on beside this one stay. */
export async function removeMutatedCopies(): Promise<void> {
  for (const name of await readdir(packages)) {
    const folder = new URL(`${name}/.mutants/`, packages);
    for (const copy of await readdir(folder).catch(() => [])) {
      if (isRunning(Number.parseInt(copy, 10))) continue;
      await rm(new URL(`${copy}/`, folder), { recursive: true, force: true });
    }
    // Not where another run has something in it.
    await rmdir(folder).catch(() => {});
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
