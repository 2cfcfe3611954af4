import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { refused } from "../test-support/refused.ts";
import type { AuditRecord, DecisionRecord } from "./audit-record.ts";
import { newCallId } from "./call-id.ts";
import { jsonlSink } from "./jsonl-sink.ts";
import { readRecords } from "./read-records.ts";

const WRITER = fileURLToPath(new URL("../test-support/endless-writer.ts", import.meta.url));

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "behalf-core-"));
  path = join(directory, "audit.jsonl");
});
afterEach(() => rm(directory, { recursive: true }));

const decision = (more: Partial<DecisionRecord> = {}): DecisionRecord => ({
  v: 1,
  kind: "decision",
  id: newCallId(),
  time: new Date().toISOString(),
  decision: "allow",
  subject: { issuer: "https://a.test", subject: "alice" },
  actors: [],
  ...more,
});

async function all(from = path): Promise<{ records: AuditRecord[]; torn: number }> {
  const reader = readRecords(from);
  const records: AuditRecord[] = [];
  for await (const record of reader) records.push(record);
  return { records, torn: reader.tornLines };
}

describe("a file that was deleted", () => {
  it("refuses the record that would be lost with it, and begins a new one", async () => {
    const sink = jsonlSink({ path });
    await sink.write(decision());
    await rm(path);
    await expect(sink.write(decision())).rejects.toMatchObject({
      code: "records.unavailable",
      nativeCode: "ENOENT",
    });
    await sink.write(decision());
    expect((await all()).records).toHaveLength(1);
    await sink.close();
  });
});

describe("a record", () => {
  it.each(["fsync", "write"] as const)(
    "is in the file when write resolves (%s)",
    async (durability) => {
      const sink = jsonlSink({ path, durability });
      const first = decision({ statement: "select '\u2028\n\"\u{1f600}'" });
      await sink.write(first);
      expect((await all()).records).toEqual([first]);
      const others = Array.from({ length: 500 }, () => decision());
      await Promise.all(others.map((record) => sink.write(record)));
      expect(await all()).toEqual({ records: [first, ...others], torn: 0 });
      await sink.close();
    },
  );

  it("begins with what the reader looks for, however its members are ordered", async () => {
    const { v, kind, ...rest } = decision();
    const sink = jsonlSink({ path });
    await sink.write({ ...rest, kind, v });
    await sink.close();
    expect(await readFile(path, "utf8")).toMatch(/^{"v":1,"kind":"decision",/);
    expect((await all()).records).toEqual([{ v, kind, ...rest }]);
  });

  it("is for the owner's eyes alone", async () => {
    const sink = jsonlSink({ path });
    await sink.write(decision());
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await sink.close();
  });

  it("that was accepted is written by close; one that comes later is refused", async () => {
    const sink = jsonlSink({ path });
    const writes = [1, 2, 3].map(() => sink.write(decision()));
    await sink.close();
    await sink.close();
    await Promise.all(writes);
    expect((await all()).records).toHaveLength(3);
    expect((await refused(sink.write(decision()))).code).toBe("closed");
  });
});

describe("an error", () => {
  it("refuses what was being written, and the next record tries a fresh file", async () => {
    const later = join(directory, "later");
    const sink = jsonlSink({ path: join(later, "audit.jsonl") });
    const errors = await Promise.all([1, 2].map(() => refused(sink.write(decision()))));
    for (const error of errors) {
      expect(error).toMatchObject({ code: "records.unavailable", nativeCode: "ENOENT" });
    }
    await mkdir(later);
    await sink.write(decision());
    expect((await all(join(later, "audit.jsonl"))).records).toHaveLength(1);
    await sink.close();
  });

  it.runIf(process.platform === "linux")("of a full disk refuses every record", async () => {
    const sink = jsonlSink({ path: "/dev/full", durability: "write" });
    for (let n = 0; n < 3; n++) {
      expect((await refused(sink.write(decision()))).nativeCode).toBe("ENOSPC");
    }
    await sink.close();
  });

  it("of too many waiting refuses the newest, and none that was accepted", async () => {
    const sink = jsonlSink({ path, maxPendingBytes: 2000 });
    const results = await Promise.allSettled(
      Array.from({ length: 100 }, () => sink.write(decision())),
    );
    const written = results.filter(({ status }) => status === "fulfilled").length;
    expect(written).toBeGreaterThan(1);
    expect(written).toBeLessThan(20);
    expect((await all()).records).toHaveLength(written);
    await sink.write(decision());
    await sink.close();
  });
});

describe("a torn line", () => {
  it("stays, is skipped and counted, and the next record begins on its own line", async () => {
    const whole = decision();
    await writeFile(path, `${JSON.stringify(whole)}\n{"v":1,"kind":"decision","id":"01`);
    const sink = jsonlSink({ path });
    const next = decision();
    await sink.write(next);
    await sink.close();
    expect(await all()).toEqual({ records: [whole, next], torn: 1 });
    expect(await readFile(path, "utf8")).toContain('"id":"01\n{"v":1');
  });

  it("of another process does not hide the whole line behind it", async () => {
    const sink = jsonlSink({ path });
    await sink.write(decision());
    await appendFile(path, '{"v":1,"kind":"decision","id":"01');
    const next = decision({ statement: 'select \'{"v":1,"kind":"decision"}\'' });
    await sink.write(next);
    await sink.close();
    const { records, torn } = await all();
    expect([records.length, records[1], torn]).toEqual([2, next, 1]);
  });

  it("at the very end is what a reader of a living file may see", async () => {
    await writeFile(path, `${JSON.stringify(decision())}\n{"v":1,"ki`);
    expect(await all()).toMatchObject({ records: [{}], torn: 1 });
  });

  it("is anything that is no record", async () => {
    const lines = ["null", "[]", "{}", "\u0000", '{"v":2,"kind":"decision"}', "x"];
    await writeFile(path, `${lines.join("\n")}\n\n\n`);
    expect(await all()).toEqual({ records: [], torn: lines.length });
  });
});

describe("several processes", () => {
  it("append to one file, and every line is whole", async () => {
    const writers = await Promise.all([1, 2, 3].map(() => startWriter()));
    await new Promise((resolve) => setTimeout(resolve, 400));
    for (const { child } of writers) child.kill("SIGTERM");
    await Promise.all(writers.map(({ done }) => done));
    const { records, torn } = await all();
    const acknowledged = writers.flatMap(({ ids }) => ids);
    expect(torn).toBe(0);
    expect(acknowledged.length).toBeGreaterThan(100);
    expect(missing(acknowledged, records)).toEqual([]);
  }, 30_000);

  it("that are killed while they write lose nothing that was acknowledged", async () => {
    for (let round = 0; round < 5; round++) {
      const writers = await Promise.all([1, 2].map(() => startWriter()));
      await new Promise((resolve) => setTimeout(resolve, 60 + Math.random() * 120));
      for (const { child } of writers) child.kill("SIGKILL");
      await Promise.all(writers.map(({ done }) => done));
      const acknowledged = writers.flatMap(({ ids }) => ids);
      expect(acknowledged.length).toBeGreaterThan(0);
      const sink = jsonlSink({ path });
      const after = decision();
      await sink.write(after);
      await sink.close();
      const { records } = await all();
      expect(missing([...acknowledged, after.id], records)).toEqual([]);
    }
  }, 60_000);
});

function missing(ids: readonly string[], records: readonly AuditRecord[]): string[] {
  const found = new Set(records.map(({ id }) => id));
  return ids.filter((id) => !found.has(id));
}

/** A process that writes as fast as it can and tells each id AFTER its record is durable. */
async function startWriter() {
  const child = spawn(process.execPath, [WRITER, path], { stdio: ["ignore", "pipe", "inherit"] });
  let told = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    told += text;
  });
  const done = once(child, "close");
  await once(child.stdout, "data");
  return {
    child,
    done,
    get ids() {
      return told.split("\n").slice(0, -1);
    },
  };
}
