import type { Adapter } from "@behalf/core";

import { messageOf } from "./adapter-suite.ts";
import { planCases } from "./all-cases.ts";
import { bindHarness } from "./bound-harness.ts";
import type { Harness } from "./harness.ts";
import { type CaseResult, type Report, reportOf } from "./report.ts";
import { runCase, strictlySame, type SuiteOptions } from "./stage.ts";

export interface RunConformanceOptions extends SuiteOptions {
  /** Runs only the cases whose id and way this lets through. Default is all. */
  readonly only?: (id: string, way: string) => boolean;
  /** Longest time for one case, in milliseconds. Default is `120000`. */
  readonly timeoutMs?: number;
  /** Is told each result as it comes. */
  readonly onResult?: (result: CaseResult) => void;
}

/**
 * Runs the suite without a test runner and gives back what it found.
 *
 * @throws TypeError when the harness contradicts itself. A case that fails does not throw.
 * @example
 * ```ts
 * import { reportText, runConformance } from "@behalf/conformance";
 * import { memoryHarness } from "@behalf/conformance/memory";
 *
 * console.log(reportText(await runConformance(memoryHarness(), { interleavings: 100 })));
 * ```
 */
export async function runConformance<Session, A extends Adapter<Session>>(
  harness: Harness<Session, A>,
  options: RunConformanceOptions = {},
): Promise<Report> {
  const { only = () => true, timeoutMs = 120_000, onResult } = options;
  const bound = bindHarness(harness);
  const results: CaseResult[] = [];
  for (const { one, way, name, skipped } of planCases(bound, options.waysPerCase)) {
    if (!only(one.id, way.name)) continue;
    const notes: string[] = [];
    const facts = { id: one.id, group: one.group, name, way: way.name, capability: one.capability };
    const end = (result: Pick<CaseResult, "status" | "why">) => {
      const ended = { ...facts, ...result, notes };
      results.push(ended);
      onResult?.(ended);
    };
    if (skipped !== null) {
      end({ status: "skipped", why: skipped });
      continue;
    }
    try {
      const note = (text: string) => void notes.push(text);
      await within(timeoutMs, runCase(one, bound, way, { ...options, note, same: strictlySame }));
      end({ status: "passed" });
    } catch (error) {
      end({ status: "failed", why: messageOf(error) });
    }
  }
  return reportOf(harness, results);
}

function within(timeoutMs: number, work: Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`it did not end within ${timeoutMs} ms`));
    }, timeoutMs);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
