import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { AUDIENCE, startTestIssuer } from "../test-support/test-issuer.ts";

const PACKAGE = new URL("../", import.meta.url);

it("does what the README says", async () => {
  const readme = await readFile(new URL("README.md", PACKAGE), "utf8");
  const [, code = "", printed] = /```ts\n(.*?)```.*?```text\n(.*?)```/s.exec(readme) ?? [];
  expect(code).toContain(AUDIENCE);
  const issuer = await startTestIssuer();
  const directory = await mkdtemp(join(tmpdir(), "behalf-core-"));
  try {
    const TOKEN = await issuer.token();
    const env = {
      ...process.env,
      TOKEN,
      ISSUER: issuer.url,
      AUDIT_FILE: join(directory, "a.jsonl"),
    };
    const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", code], {
      cwd: fileURLToPath(PACKAGE),
      env,
      stdio: ["ignore", "pipe", "inherit"],
    });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
    await once(child, "close");
    expect(output).toBe(printed);
  } finally {
    await rm(directory, { recursive: true });
    await issuer.close();
  }
});
