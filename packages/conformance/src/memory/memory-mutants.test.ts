import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { MEMORY_MUTANTS, type Mutant } from "../../test-support/memory-mutants.ts";
import { mutatedCopy, removeMutatedCopies } from "../../test-support/mutated-copy.ts";
import { GROUPS, type Report, runConformance } from "../index.ts";
import type { memoryHarness } from "./memory-harness.ts";

// Before, too: a run that was killed could not.
beforeAll(removeMutatedCopies);
afterAll(removeMutatedCopies);

/** Runs these cases on the reference adapter with something wrong in it. */
async function run(mutant: Omit<Mutant, "group" | "title">): Promise<Report> {
  const { id, changes = [], core = [], caughtBy, hangs = false } = mutant;
  await using copy = await mutatedCopy({ name: "conformance", id, changes, core });
  // Its backend, too: errors are recognised by class.
  const made = (await import(copy.url("src/memory/memory-harness.ts"))) as {
    memoryHarness: typeof memoryHarness;
  };
  return runConformance(made.memoryHarness(), {
    interleavings: 1_000,
    patienceMs: hangs ? 300 : 3_000,
    timeoutMs: hangs ? 700 : 20_000,
    only: (one) => caughtBy.includes(one),
  });
}

const failed = (report: Report) => [
  ...new Set(report.results.filter(({ status }) => status === "failed").map(({ id }) => id)),
];

describe.each(MEMORY_MUTANTS)("$group: $title", (mutant) => {
  it(`is caught by ${mutant.caughtBy.join(", ")}`, async () => {
    const report = await run(mutant);
    const found = report.results.filter(({ status }) => status === "failed");
    expect(
      failed(report).toSorted(),
      report.results
        .map(({ id, way, status, why }) => `${id} [${way}] ${status} ${why}`)
        .join("\n"),
    ).toEqual(mutant.caughtBy.toSorted());
    // It is found by what it does, and not by a mistake of the mutant's own.
    for (const { why } of found)
      expect(why).not.toMatch(/harness|is not a function|is not defined/);
  });
});

it("has at least two mutants for each group, and thirty in all", () => {
  for (const group of GROUPS) {
    expect(MEMORY_MUTANTS.filter((mutant) => mutant.group === group).length, group).toBeGreaterThan(
      1,
    );
  }
  expect(MEMORY_MUTANTS.length).toBeGreaterThanOrEqual(30);
  expect(new Set(MEMORY_MUTANTS.map(({ id }) => id)).size).toBe(MEMORY_MUTANTS.length);
});

it("says nothing of the adapter as it is, also in a copy with a core of its own", async () => {
  const caughtBy = [...new Set(MEMORY_MUTANTS.flatMap((mutant) => mutant.caughtBy))];
  const same = {
    file: "src/call-clock.ts",
    from: "SERVER_LEAD_MS = 200",
    to: "SERVER_LEAD_MS = 201",
  };
  const report = await run({ id: "none", core: [same], caughtBy });
  expect(failed(report)).toEqual([]);
});

it("does not take a mutant that is out of date", async () => {
  const gone = { file: "src/memory/memory-adapter.ts", from: "nowhere in there", to: "" };
  await expect(run({ id: "gone", changes: [gone], caughtBy: [] })).rejects.toThrow(
    "is there 0 times",
  );
});
