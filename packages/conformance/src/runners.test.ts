import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

import { BehalfError } from "@behalf/core";
import { describe, expect, it } from "vitest";

import { adapterSuite, type Report, type Runner } from "./index.ts";
import { memoryAdapter, memoryHarness } from "./memory/index.ts";

/** A runner that keeps what is registered, so that a test can run it, and fail. */
function collecting() {
  const tests: { name: string; body: () => Promise<void> }[] = [];
  const skipped: string[] = [];
  const groups: string[] = [];
  const runner: Runner = {
    describe(name, body) {
      groups.push(name);
      body();
    },
    it: Object.assign(
      (name: string, body: () => Promise<void>) => void tests.push({ name, body }),
      {
        skip: (name: string) => void skipped.push(name),
      },
    ),
    expect,
  };
  return { runner, tests, skipped, groups };
}

async function runAll(tests: readonly { name: string; body: () => Promise<void> }[]) {
  const failed: string[] = [];
  for (const { name, body } of tests) {
    await body().catch((error: unknown) => failed.push(`${name}: ${String(error)}`));
  }
  return failed;
}

describe("a runner", () => {
  it("fails the tests of an adapter that calls as somebody else, and gets the report last", async () => {
    const { runner, tests } = collecting();
    const reports: Report[] = [];
    // Every call of Alice's is one of Bob's.
    const harness = memoryHarness();
    const [, bob] = harness.humans;
    adapterSuite(
      runner,
      { ...harness, delegate: (_, options) => harness.delegate(bob, options) },
      {
        interleavings: 20,
        timeoutMs: 5_000,
        patienceMs: 300,
        onReport: (report) => reports.push(report),
      },
    );
    // Others wait for what then never happens; only the runner would end them.
    const failed = await runAll([...tests.slice(0, 8), ...tests.slice(-1)]);
    expect(failed.join("\n")).toContain("notes of bob");
    expect(tests.at(-1)?.name).toBe("report");
    const [report] = reports;
    expect(report?.results.filter(({ status }) => status === "failed")).toHaveLength(failed.length);
    expect(report?.rows.find(({ shows }) => shows === "identity")).toMatchObject({
      grade: "native",
    });
  });

  it("is told of what is skipped, with the reason in the name", () => {
    const { runner, skipped, groups } = collecting();
    const { capabilities, ...harness } = memoryHarness();
    const { writes: _, ...less } = capabilities;
    const refused = { grade: "refused", evidence: "emulated", note: "It knows no tasks." } as const;
    adapterSuite(runner, { ...harness, capabilities: { ...less, taskScope: refused } });
    expect(groups).toContain("task scope");
    expect(skipped.join("\n")).toContain("skipped, the adapter does not declare writes");
    expect(skipped.join("\n")).toContain("skipped, the adapter refuses taskScope");
  });

  it("is told what the adapter and its harness disagree on", async () => {
    const { runner, tests } = collecting();
    const { capabilities, ...harness } = memoryHarness();
    const { writes: _, ...less } = capabilities;
    adapterSuite(runner, { ...harness, capabilities: less }, { onReport: () => {} });
    const contract = tests.filter(({ name }) => name.includes("names its backend"));
    expect(await runAll(contract)).toEqual([expect.stringContaining("capabilities")]);
  });

  it("is told what a harness lacks that it declares", async () => {
    const { runner, tests } = collecting();
    const harness = memoryHarness();
    const probe: typeof harness.probe = (session) =>
      Object.fromEntries(
        Object.entries(harness.probe(session)).filter(([name]) => name !== "change"),
      ) as unknown as ReturnType<typeof harness.probe>;
    adapterSuite(runner, { ...harness, probe }, { onReport: () => {} });
    const writes = tests.filter(({ name }) => name.includes("a write is on record as one"));
    expect(await runAll(writes)).toEqual([expect.stringContaining("does not have it")]);
  });

  it("may be node:test", () => {
    const script = fileURLToPath(new URL("../test-support/node-test-suite.ts", import.meta.url));
    // Else it takes itself for a part of this run.
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { stdout, status } = spawnSync(
      process.execPath,
      ["--test", "--test-reporter=tap", script],
      {
        encoding: "utf8",
        env,
      },
    );
    expect(status, stdout.slice(-2_000)).toBe(0);
    expect(stdout).toMatch(/# pass 2\d\d/);
    expect(stdout).toMatch(/# fail 0/);
    expect(stdout).toMatch(/# skipped 10/);
  }, 120_000);
});

it("refuses a harness in which two ways have one name", () => {
  const { runner } = collecting();
  const harness = memoryHarness();
  const [way] = harness.ways ?? [];
  if (way === undefined) throw new Error("the reference has a way of its own");
  expect(() => adapterSuite(runner, { ...harness, ways: [way, way] })).toThrow("one name");
  expect(() => adapterSuite(runner, { ...harness, ways: [{ ...way, name: "run" }] })).toThrow(
    "run",
  );
});

it("has a reference that refuses to be set up wrongly", () => {
  expect(() => memoryAdapter({ backend: {}, credentials: {}, records: {} } as never)).toThrow(
    BehalfError,
  );
});
