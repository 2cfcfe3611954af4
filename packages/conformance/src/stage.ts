import { isDeepStrictEqual } from "node:util";

import { pause } from "./case-tools.ts";
import type { BoundHarness, BoundWay } from "./bound-harness.ts";
import type { CaseContext, ConformanceCase, Gate, Opened } from "./conformance-case.ts";
import { watchedCredentials } from "./watched-credentials.ts";
import { watchedRecords } from "./watched-records.ts";

/** What the suite may be told. */
export interface SuiteOptions {
  /** Calls of the concurrency group's long case. Default is `10000`. */
  readonly interleavings?: number;
  /** Chooses who calls when in it. Default is `20261125`. */
  readonly seed?: number;
  /**
   * Longest time, in milliseconds, that something may take at the backend after the call that caused it.
   * Default is `10000`.
   */
  readonly patienceMs?: number;
}

export interface StageOptions extends SuiteOptions {
  readonly same: CaseContext["same"];
  readonly note: CaseContext["note"];
}

/** Runs one case in one way, and closes every adapter that it opened. */
export async function runCase(
  one: ConformanceCase,
  bound: BoundHarness,
  way: BoundWay,
  options: StageOptions,
): Promise<void> {
  await using opened = new AsyncDisposableStack();
  const { facts } = bound;
  const [alice, bob] = facts.humans;
  const gates: Gate[] = [];
  let checks = 0;
  const running = one.run({
    harness: facts,
    way,
    ways: bound.ways,
    alice,
    bob,
    interleavings: options.interleavings ?? 10_000,
    seed: options.seed ?? 20_261_125,
    same(what, found, wanted) {
      checks += 1;
      options.same(what, found, wanted);
    },
    note: options.note,
    until: (what, condition) => until(what, condition, options.patienceMs ?? 10_000),
    gate() {
      const { promise, resolve } = Promise.withResolvers<void>();
      const made = { opened: promise, open: resolve };
      gates.push(made);
      return made;
    },
    delegate: (human, delegateOptions) => facts.delegate(human, delegateOptions),
    observe: () => facts.observe(),
    async open({
      connections,
      credentials = watchedCredentials(facts.credentials()),
      records = watchedRecords(),
    } = {}): Promise<Opened> {
      const adapter = await bound.open({
        credentials,
        records,
        ...(connections === undefined ? {} : { connections }),
      });
      opened.defer(() => adapter.close());
      return {
        ...adapter,
        credentials,
        records,
        act: (delegation, work, runOptions) => adapter.call(way.name, delegation, work, runOptions),
      };
    },
  });
  try {
    await running;
    // A case that checks nothing would pass whatever the adapter does.
    if (checks === 0) throw new Error(`${one.id} has checked nothing`);
  } finally {
    // Else closing the adapters would wait for what a case that failed holds back.
    for (const { open } of gates) open();
  }
}

async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  patienceMs: number,
): Promise<void> {
  const end = performance.now() + patienceMs;
  while (!(await condition())) {
    if (performance.now() > end)
      throw new Error(`it did not happen within ${patienceMs} ms: ${what}`);
    await pause(10);
  }
}

/** For runs without a test runner. */
export function strictlySame(what: string, found: unknown, wanted: unknown): void {
  if (isDeepStrictEqual(found, wanted)) return;
  throw new Error(`${what}: ${show(found)} instead of ${show(wanted)}`);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 2_000 ? `${text.slice(0, 2_000)}...` : text;
}
