import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { CASES, reportText, runConformance } from "@behalf/conformance";
import { memorySink } from "@behalf/core";
import { expect, it } from "vitest";

import { notes } from "./notes-adapter.ts";
import { notesHarness } from "./notes-harness.ts";
import { startParts } from "./notes-parts.ts";

const page = await readFile(
  new URL("../../../docs/writing-an-adapter.md", import.meta.url),
  "utf8",
);

it("is the code of docs/writing-an-adapter.md, to the letter", async () => {
  const blocks = [...page.matchAll(/```ts file=(\S+)\n(.*?)```/gs)];
  expect(blocks.map(([, name]) => name)).toEqual([
    "notes-adapter.ts",
    "notes-harness.ts",
    "notes-adapter.test.ts",
  ]);
  for (const [, name = "", code] of blocks) {
    expect(await readFile(new URL(name, import.meta.url), "utf8"), name).toBe(code);
  }
});

it("names cases that there are", () => {
  const ids = new Set(CASES.map(({ id }) => id));
  const named = [...page.matchAll(/`([a-z-]+\.[a-z-]+|[a-z-]+\.\*)`/g)].map(([, id = ""]) => id);
  const groups = new Set([...ids].map((id) => `${id.split(".")[0]}.*`));
  const cases = named.filter((id) => groups.has(`${id.split(".")[0]}.*`));
  expect(cases.length).toBeGreaterThan(10);
  expect(cases.filter((id) => !ids.has(id) && !groups.has(id))).toEqual([]);
});

it("ends with the report that the page shows", async () => {
  await using parts = await startParts(["alice", "bob", "carol"]);
  const report = reportText(await runConformance(notesHarness(parts), { interleavings: 100 }));
  const [, shown = ""] = /```text\n(.*?)```/s.exec(page) ?? [];
  const calls = /^concurrency.interleaved: .*$/m;
  expect(`${report}\n`.replace(calls, "")).toBe(shown.replace(calls, ""));
}, 120_000);

it("says how many lines there are", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const name of ["notes-adapter.ts", "notes-harness.ts", "notes-adapter.test.ts"]) {
    const lines = (await readFile(new URL(name, import.meta.url), "utf8")).split("\n").length - 1;
    expect(readme).toContain(`(src/${name}), ${lines}`);
  }
});

it("sends nobody's token to where a path leads", async () => {
  await using parts = await startParts(["alice"]);
  let received = 0;
  const elsewhere = createServer((_, response) => {
    received += 1;
    response.end("[]");
  }).listen(0, "127.0.0.1");
  await once(elsewhere, "listening");
  const { port } = elsewhere.address() as AddressInfo;
  const records = memorySink();
  const adapter = notes({ url: parts.service.url, credentials: parts.credentials(), records });
  for (const path of [
    `http://127.0.0.1:${port}/notes`,
    `//127.0.0.1:${port}`,
    `\\\\127.0.0.1:${port}`,
  ]) {
    const call = adapter.run(await parts.delegate("alice"), (session) => session.get(path));
    await expect(call).rejects.toMatchObject({ code: "statement.refused" });
    expect(records.records.at(-2)).toMatchObject({ decision: "deny", code: "statement.refused" });
  }
  await adapter.close();
  elsewhere.close();
  expect(received).toBe(0);
});
