import type { Adapter } from "@behalf/core";

import { planCases } from "./all-cases.ts";
import { bindHarness } from "./bound-harness.ts";
import { GROUPS } from "./groups.ts";
import type { Harness } from "./harness.ts";
import { type CaseResult, type Report, reportOf, reportText } from "./report.ts";
import { runCase, type SuiteOptions } from "./stage.ts";

/** What the suite needs of a test runner: Vitest and Jest have it, and node:test with an `expect` beside it. */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown;
  readonly it: {
    (name: string, body: () => Promise<void>, timeoutMs?: number): unknown;
    skip(name: string, body: () => Promise<void>): unknown;
  };
  readonly expect: (actual: unknown) => { toEqual(expected: unknown): unknown };
}

export interface AdapterSuiteOptions extends SuiteOptions {
  /** Longest time for one case, in milliseconds. Default is `120000`. */
  readonly timeoutMs?: number;
  /** Gets the report when the last case is over. Default prints it with `console.log`. */
  readonly onReport?: (report: Report) => void;
}

/**
 * Registers everything that an adapter has to hold with the caller's test runner. What the adapter does
 * not declare is registered as skipped, with its reason in the name; the last test makes the report.
 *
 * @throws TypeError when the harness contradicts itself
 * @example
 * ```ts
 * import { adapterSuite } from "@behalf/conformance";
 * import { memoryHarness } from "@behalf/conformance/memory";
 * import { describe, expect, it } from "vitest";
 *
 * adapterSuite({ describe, it, expect }, memoryHarness());
 * ```
 */
export function adapterSuite<Session, A extends Adapter<Session>>(
  { describe, it, expect }: Runner,
  harness: Harness<Session, A>,
  options: AdapterSuiteOptions = {},
): void {
  const bound = bindHarness(harness);
  const planned = planCases(bound, options.waysPerCase);
  const results: CaseResult[] = [];
  const { timeoutMs = 120_000, onReport = (report) => console.log(reportText(report)) } = options;

  describe(`conformance of ${harness.backend}`, () => {
    for (const group of GROUPS) {
      describe(group, () => {
        for (const { one, way, name, skipped } of planned) {
          if (one.group !== group) continue;
          const { id, capability } = one;
          const facts = { id, group, name, way: way.name, capability };
          if (skipped !== null) {
            results.push({ ...facts, status: "skipped", why: skipped, notes: [] });
            it.skip(`${name}: skipped, ${skipped}`, async () => {});
            continue;
          }
          const body = async () => {
            const notes: string[] = [];
            try {
              await runCase(one, bound, way, {
                ...options,
                note: (text) => void notes.push(text),
                same: (what, found, wanted) => {
                  expect({ [what]: found }).toEqual({ [what]: wanted });
                },
              });
            } catch (error) {
              results.push({ ...facts, status: "failed", why: messageOf(error), notes });
              throw error;
            }
            results.push({ ...facts, status: "passed", notes });
          };
          it(name, body, timeoutMs);
        }
      });
    }
    it("report", async () => onReport(reportOf(harness, results)), timeoutMs);
  });
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
