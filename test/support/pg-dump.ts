import { execFile, execFileSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

/** Where Debian puts the clients of each version. */
const DEBIAN = "/usr/lib/postgresql";

export interface DumpTools {
  readonly major: number;
  dump(url: string, flags?: readonly string[]): Promise<string>;
  /** Runs a dump in another database; the answer is what went wrong. */
  restore(url: string, text: string): Promise<readonly string[]>;
}

/**
 * `pg_dump` and `psql` of at least the server's version, because pg_dump refuses a newer server:
 * TEST_POSTGRES_CLIENT names their folder, else Debian's folders and the path are searched.
 *
 * @returns the tools, or why there are none
 */
export function dumpTools(serverMajor: number): DumpTools | { readonly missing: string } {
  const given = process.env["TEST_POSTGRES_CLIENT"] || undefined;
  const folders = given
    ? [given]
    : [
        ...(existsSync(DEBIAN) ? readdirSync(DEBIAN).map((name) => join(DEBIAN, name, "bin")) : []),
        ...(process.env["PATH"] ?? "").split(":"),
      ];
  const found = folders
    .map((folder) => ({ folder, major: majorOf(join(folder, "pg_dump")) }))
    .filter(({ major }) => major >= serverMajor)
    .toSorted((a, b) => a.major - b.major)
    .find(({ folder }) => existsSync(join(folder, "psql")));
  if (found === undefined) {
    return {
      missing: `no pg_dump of version ${serverMajor} or later here (Debian: apt-get install postgresql-client; or TEST_POSTGRES_CLIENT)`,
    };
  }
  const run = promisify(execFile);
  return {
    major: found.major,
    async dump(url, flags = []) {
      const options = { maxBuffer: 2 ** 26 };
      return (await run(join(found.folder, "pg_dump"), [...flags, "-d", url], options)).stdout;
    },
    async restore(url, text) {
      const child = run(join(found.folder, "psql"), ["-X", "-q", "-o", "/dev/null", "-d", url]);
      child.child.stdin?.end(text);
      const { stderr } = await child;
      return stderr.split("\n").filter((line) => line.includes("ERROR:"));
    },
  };
}

function majorOf(program: string): number {
  if (!existsSync(program)) return 0;
  try {
    const version = execFileSync(program, ["--version"], { encoding: "utf8", stdio: "pipe" });
    return Number(/(\d+)(?:\.\d+)*\s/.exec(`${version} `)?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The statements of a dump that are not about roles or versions, without comments and empty lines. */
export function dumpLines(text: string): readonly string[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("--") && !/^\\(un)?restrict /.test(line));
}
