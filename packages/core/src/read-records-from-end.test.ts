import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, expect, it } from "vitest";

import { newCallId } from "./call-id.ts";
import { readRecordsFromEnd } from "./read-records-from-end.ts";
import { readRecords } from "./read-records.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "behalf-from-end-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const decision = (id: string, more: object = {}) =>
  `${JSON.stringify({ v: 1, kind: "decision", id, time: "2026-01-01T00:00:00.000Z", decision: "allow", subject: null, actors: [], ...more })}\n`;
const fromEnd = async (path: string, options?: { maxBytes: number }) => {
  const ids: string[] = [];
  for await (const { id } of readRecordsFromEnd(path, options)) ids.push(id);
  return ids;
};
const fromStart = async (path: string) => {
  const ids: string[] = [];
  for await (const { id } of readRecords(path)) ids.push(id);
  return ids;
};

it("gives what the reader from the start gives, the other way round", async () => {
  const path = join(folder, "mixed.jsonl");
  const ids = Array.from({ length: 9000 }, () => newCallId());
  // Lines over the edges of chunks, of several bytes a character, longer than a chunk, and torn ones.
  const text = ids.map((id, index) => {
    if (index === 4000) return decision(id, { statement: "ü".repeat(1_500_000) });
    const whole = decision(id, { statement: "日本".repeat(index % 50) });
    return index % 1000 === 7 ? `{"v":1,"kind":"deci${whole}` : whole;
  });
  writeFileSync(path, text.join(""));
  expect(await fromEnd(path)).toEqual(ids.toReversed());
  expect(await fromEnd(path)).toEqual((await fromStart(path)).toReversed());
  // A last line that is still being written.
  appendFileSync(path, '{"v":1,"kind":"outco');
  expect(await fromEnd(path)).toEqual(ids.toReversed());
});

it.each([
  ["", 0],
  ["\n\n", 0],
  ["no record\n", 0],
  [decision("a").trimEnd(), 1],
  [`\n${decision("a")}\n${decision("b")}`, 2],
])("reads %j", async (text, count) => {
  const path = join(folder, "small.jsonl");
  writeFileSync(path, text);
  expect(await fromEnd(path)).toHaveLength(count);
});

it("reads no further back than it is told, and no half line there", async () => {
  const path = join(folder, "bound.jsonl");
  writeFileSync(path, decision("a") + decision("b") + decision("c"));
  const line = decision("c").length;
  expect(await fromEnd(path, { maxBytes: line })).toEqual([]);
  expect(await fromEnd(path, { maxBytes: line + 1 })).toEqual(["c"]);
  expect(await fromEnd(path, { maxBytes: 2 * line + 5 })).toEqual(["c", "b"]);
  expect(await fromEnd(path, { maxBytes: 1e9 })).toEqual(["c", "b", "a"]);
});

it("finds the newest record of 100 GB without reading them", async () => {
  const path = join(folder, "large.jsonl");
  writeFileSync(path, "");
  // A hole takes no room on the disk; to read it would take minutes.
  truncateSync(path, 100_000_000_000);
  const ids = Array.from({ length: 20_000 }, () => newCallId());
  appendFileSync(path, `\n${ids.map((id) => decision(id)).join("")}`);
  const before = process.memoryUsage().arrayBuffers;
  const found: string[] = [];
  for await (const record of readRecordsFromEnd(path)) {
    found.push(record.id);
    if (found.length === ids.length) break;
  }
  expect(found).toEqual(ids.toReversed());
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
});

it("says what the file system says", async () => {
  await expect(fromEnd(join(folder, "none"))).rejects.toMatchObject({ code: "ENOENT" });
  await expect(fromEnd(folder)).rejects.toMatchObject({ code: "EISDIR" });
});
