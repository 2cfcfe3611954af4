import { expect, it } from "vitest";

import { mutatedCopy } from "../../test-support/mutated-copy.ts";
import { runConformance } from "../run-conformance.ts";
import type { memoryHarness } from "./memory-harness.ts";

it("finds an identity that outlives its transaction", async () => {
  await using copy = await mutatedCopy("conformance", ["src"], "first", [
    {
      file: "src/memory/memory-adapter.ts",
      from: 'op: "start", ticket, local: true, callId: call.callId',
      to: 'op: "start", ticket, local: false, callId: call.callId',
    },
  ]);
  const made = (await import(copy.url("src/memory/memory-harness.ts"))) as {
    memoryHarness: typeof memoryHarness;
  };
  const report = await runConformance(made.memoryHarness(), { interleavings: 200 });
  const failed = report.results.filter(({ status }) => status === "failed").map(({ id }) => id);
  expect(failed).toContain("isolation.success");
});
