import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { expect, it } from "vitest";

const PACKAGE = new URL("../", import.meta.url);

it("does what the README says", async () => {
  const readme = await readFile(new URL("README.md", PACKAGE), "utf8");
  const [, code = "", printed] = /```ts\n(.*?)```.*?```text\n(.*?)```/s.exec(readme) ?? [];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module-typescript", "--eval", code],
    { cwd: fileURLToPath(PACKAGE) },
  );
  expect(stdout).toBe(printed);
});
