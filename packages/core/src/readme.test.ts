import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodeJwt } from "jose";
import { expect, it } from "vitest";
import { AUDIENCE, startTestIssuer } from "../test-support/test-issuer.ts";

const PACKAGE = new URL("../", import.meta.url);

const readme = await readFile(new URL("README.md", PACKAGE), "utf8");
const examples = [...readme.matchAll(/```ts\n(.*?)```.*?```text\n(.*?)```/gs)];

it.each([0, 1])("does what example %i of the README says", async (n) => {
  expect(examples).toHaveLength(2);
  const [, code = "", printed] = examples[n] ?? [];
  expect(code).toContain(AUDIENCE);
  const issuer = await startTestIssuer();
  const notes = await startNotes();
  const directory = await mkdtemp(join(tmpdir(), "behalf-core-"));
  try {
    const TOKEN = await issuer.token();
    const env = {
      ...process.env,
      TOKEN,
      ISSUER: issuer.url,
      NOTES_URL: notes.url,
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
    await notes.close();
    await issuer.close();
  }
});

/** A backend that says whose token it was shown. */
async function startNotes() {
  const server = createServer(({ headers }, response) => {
    const { sub } = decodeJwt(headers.authorization?.slice("Bearer ".length) ?? "");
    response.end(`notes of ${sub}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async close() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}
