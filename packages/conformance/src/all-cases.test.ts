import { expect, it } from "vitest";

import { planCases } from "./all-cases.ts";
import { bindHarness } from "./bound-harness.ts";
import { memoryHarness } from "./memory/memory-harness.ts";

it("runs each case in as many ways as it is told, and all of them in turn", () => {
  const bound = bindHarness(memoryHarness());
  const all = planCases(bound);
  const fewer = planCases(bound, 1);
  // Nothing is left out but a further way of the same case.
  const ids = (plans: typeof all) => [...new Set(plans.map(({ one }) => one.id))];
  expect(ids(fewer)).toEqual(ids(all));
  const run = fewer.filter(({ skipped }) => skipped === null);
  expect(new Set(run.map(({ one }) => one.id)).size).toBe(run.length);
  const counts = Map.groupBy(run, ({ way }) => way.name);
  expect([...counts.keys()].toSorted()).toEqual(bound.ways.map(({ name }) => name).toSorted());
  // What is skipped is said all the same.
  const skipped = (plans: typeof all) => plans.filter((plan) => plan.skipped !== null).length;
  expect(skipped(fewer)).toBe(skipped(all));
});
