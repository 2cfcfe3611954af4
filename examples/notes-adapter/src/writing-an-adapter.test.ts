import { readFile } from "node:fs/promises";

import { CASES, reportText, runConformance } from "@behalf/conformance";
import { expect, it } from "vitest";

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
});

it("says how many lines there are", async () => {
  const readme = await readFile(new URL("../README.md", import.meta.url), "utf8");
  for (const name of ["notes-adapter.ts", "notes-harness.ts", "notes-adapter.test.ts"]) {
    const lines = (await readFile(new URL(name, import.meta.url), "utf8")).split("\n").length - 1;
    expect(readme).toContain(`(src/${name}), ${lines}`);
  }
});
