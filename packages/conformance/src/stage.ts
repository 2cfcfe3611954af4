import { isDeepStrictEqual } from "node:util";

import type { BoundHarness, BoundWay, OpenedAdapter } from "./bound-harness.ts";
import { pause } from "./case-tools.ts";
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
  /**
   * Most of the harness's ways in which one case is run, in turn, where all of them take too long for every
   * run of the tests. Default is all.
   */
  readonly waysPerCase?: number;
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
  const opened: OpenedAdapter[] = [];
  const gates: Gate[] = [];
  const failures: unknown[] = [];
  let checks = 0;
  const attempt = (work: Promise<void>) =>
    work.catch((error: unknown) => void failures.push(error));
  const same: CaseContext["same"] = (what, found, wanted) => {
    checks += 1;
    options.same(what, found, wanted);
  };
  await attempt(one.run(contextOf(bound, way, { ...options, same }, opened, gates)));
  // A case that checks nothing would pass whatever the adapter does.
  if (checks === 0) failures.push(new Error(`${one.id} has checked nothing`));
  // Else closing the adapters would wait for what a case that failed holds back.
  for (const { open } of gates) open();
  for (const adapter of opened.toReversed()) await attempt(adapter.close());
  if (failures.length > 0) throw failures[0];
}

function contextOf(
  bound: BoundHarness,
  way: BoundWay,
  options: StageOptions,
  opened: OpenedAdapter[],
  gates: Gate[],
): CaseContext {
  const { facts } = bound;
  const [alice, bob] = facts.humans;
  return {
    harness: facts,
    way,
    ways: bound.ways,
    alice,
    bob,
    interleavings: options.interleavings ?? 10_000,
    seed: options.seed ?? 20_261_125,
    same: options.same,
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
      opened.push(adapter);
      return {
        ...adapter,
        credentials,
        records,
        act: (delegation, work, runOptions) => adapter.call(way.name, delegation, work, runOptions),
      };
    },
  };
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
