import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { callRecords } from "./call-records.ts";
import { printable, printableJson } from "./printable.ts";
import { run } from "./run.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "behalf-calls-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

async function calls(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await run(["calls", "--running", ...args], env, {
    out: (text) => out.push(text),
    error: (text) => errors.push(text),
  });
  expect(out).toEqual([]);
  return { code, error: errors.join("\n").replaceAll(folder, "FOLDER") };
}

// What a server says is tested with one: test/integration/behalf-calls.test.ts.
describe("behalf calls --running says what to do", () => {
  const records = ["--records", "x.jsonl"];

  it.each<readonly [string, readonly string[], Readonly<Record<string, string>>, string]>([
    [
      "without a URL",
      [],
      {},
      "no database was named; set BEHALF_MONITOR_URL to the URL of a DBA's or a monitoring login, or give --url",
    ],
    [
      "about another protocol",
      ["--url", "http://u:p@x/db"],
      {},
      "--url must be postgres://user:password@host:port/database; correct its source",
    ],
    [
      "about a URL without a login",
      [],
      { BEHALF_MONITOR_URL: "postgres://127.0.0.1/db", PGPASSWORD: "p" },
      "BEHALF_MONITOR_URL names no login or no database; add them to the url",
    ],
    [
      "about a URL without a password",
      ["--url", "postgres://u@127.0.0.1/db"],
      {},
      "--url has no password; write postgres://user:password@host:port/database, or set PGPASSWORD",
    ],
    [
      "about a parameter that is not read",
      ["--url", "postgres://u:p@127.0.0.1/db?options=x"],
      {},
      "--url has the parameter options, which is not read; remove it (known are host, sslmode, sslrootcert)",
    ],
    [
      "where no server answers",
      ["--url", "postgres://u:secret-password@127.0.0.1:1/db?sslmode=disable"],
      {},
      "the database at 127.0.0.1:1 cannot be reached (ECONNREFUSED); check host, port and ssl, and that it runs",
    ],
  ])("%s", async (_, args, env, message) => {
    expect(await calls([...records, ...args], env)).toEqual({
      code: 1,
      error: `behalf: ${message}`,
    });
  });

  it("about a configuration", async () => {
    const env = { BEHALF_MONITOR_URL: "postgres://u:p@127.0.0.1:1/db" };
    expect(await calls(["--config", join(folder, "none.yaml")], env)).toEqual({
      code: 1,
      error: "FOLDER/none.yaml: there is no such file; name it with --config FILE",
    });
    const path = join(folder, "behalf.yaml");
    writeFileSync(path, "records: 7");
    const { code, error } = await calls(["--config", path], env);
    expect(code).toBe(1);
    expect(error).toContain("FOLDER/behalf.yaml:1:10: records must be a group of keys");
  });
});

it("prints no text of an agent's that moves a terminal's cursor or hides what follows", () => {
  expect(printable("select 1\n\t from  x")).toBe("select 1 from x");
  expect(printable("a\u001b[2Jb\u0007\u009b31m")).toBe("a\\u{1b}[2Jb\\u{7}\\u{9b}31m");
  expect(printable("alice\u202egro.elpmaxe\u2028x\ud800")).toBe(
    "alice\\u{202e}gro.elpmaxe\\u{2028}x\\u{d800}",
  );
  expect(printable("日本 ü 🙂")).toBe("日本 ü 🙂");
});

it("prints no such text as JSON either, and JSON that says the same", () => {
  const told = { statement: "a\u009b31m\n\u202ex\u{e0041}\u2028\u007f", who: ["日本 ü 🙂"] };
  const text = printableJson(told);
  expect(text).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}]/u);
  expect(text).toContain("日本 ü 🙂");
  expect(JSON.parse(text)).toEqual(told);
});

it("does not wait for a pipe in the place of a file of records", async () => {
  const path = join(folder, "pipe");
  execFileSync("mkfifo", [path]);
  const problems: string[] = [];
  await callRecords([], [path], (problem) => problems.push(problem));
  expect(problems).toEqual([expect.stringContaining("this is no file whose end can be read")]);
});
