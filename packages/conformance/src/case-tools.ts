import {
  type AuditRecord,
  BehalfError,
  type Delegation,
  type DecisionRecord,
  type OutcomeRecord,
  type SubjectRef,
} from "@behalf/core";

import type { CaseContext, Opened } from "./conformance-case.ts";
import type { FullProbe } from "./full-probe.ts";
import type { Human, Observation } from "./harness.ts";

/** How `work` ended: its error, or `null`. */
export async function errorOf(work: Promise<unknown> | (() => unknown)): Promise<unknown> {
  try {
    await (typeof work === "function" ? work() : work);
    return null;
  } catch (error) {
    return error;
  }
}

/** The code of a BehalfError; anything else in words, so that a failure shows what came instead. */
export function codeOf(error: unknown): string {
  if (error === null) return "no error";
  if (BehalfError.isInstance(error)) return error.code;
  return `not a BehalfError: ${error instanceof Error ? error.name : typeof error}`;
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Lets everything run that waits for its turn, this often. */
export async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; n++) await new Promise(setImmediate);
}

/** For a check that allows several codes: equal to itself if it is one of them, else a text that names them. */
export function oneOf(found: string, wanted: readonly string[]): string {
  return wanted.includes(found) ? found : `one of ${wanted.join(", ")}`;
}

/** The same for a refusal of any kind: an error that is one of ours. */
export function refusal(error: unknown): string {
  return BehalfError.isInstance(error) ? codeOf(error) : "a BehalfError";
}

export function isSame(a: SubjectRef | null, b: SubjectRef | null): boolean {
  return a?.issuer === b?.issuer && a?.subject === b?.subject;
}

/** What the backend let through between two observations, as sentences that are equal when it is right. */
export function readsBetween(before: Observation, after: Observation): readonly string[] {
  const known = timesByCaller(before);
  return [...timesByCaller(after)]
    .filter(([line, times]) => times > (known.get(line) ?? 0))
    .map(([line]) => line)
    .toSorted();
}

function timesByCaller({ reads }: Observation): ReadonlyMap<string, number> {
  const sums = new Map<string, number>();
  for (const { subject, owner, times = 1 } of reads) {
    const line = `${nameOf(subject)} saw data of ${owner}`;
    sums.set(line, (sums.get(line) ?? 0) + times);
  }
  return sums;
}

/** The sentence of {@link readsBetween} for a human who sees what they may. */
export function ownReads(...humans: readonly Human[]): readonly string[] {
  return humans.map(({ subject, owner }) => `${nameOf(subject)} saw data of ${owner}`).toSorted();
}

export function nameOf(subject: SubjectRef | null): string {
  return subject === null ? "nobody" : `${subject.subject} of ${subject.issuer}`;
}

/** The owners of what came, each once. */
export async function look(probe: FullProbe): Promise<readonly string[]> {
  return distinct(await probe.look());
}

export function distinct(owners: readonly string[]): readonly string[] {
  return [...new Set(owners)].toSorted();
}

/** Runs `work` and says what it sent to the backend and to the identity provider. */
export async function tripsOf<T>(
  context: CaseContext,
  work: () => Promise<T> | T,
): Promise<{ readonly value: T; readonly trips: Observation["trips"] }> {
  const before = (await context.observe()).trips;
  const value = await work();
  const after = (await context.observe()).trips;
  const trips = {
    backend: after.backend - before.backend,
    identity: after.identity - before.identity,
  };
  return { value, trips };
}

/** How often the backend let something through while this agent acted. */
export function timesOf(seen: Observation, agent: string): number {
  return seen.reads
    .filter(({ actors }) => actors.includes(agent))
    .reduce((sum, { times = 1 }) => sum + times, 0);
}

/** The records of one call, and of the statements that are part of it. */
export function recordsOf(opened: Opened, callId: string): CallRecords {
  const all = opened.records.records.filter(({ id }) => id === callId);
  return {
    kinds: all.map(({ kind }) => kind),
    decision: all.find((record) => record.kind === "decision"),
    outcome: all.find((record) => record.kind === "outcome"),
  };
}

export interface CallRecords {
  readonly kinds: readonly string[];
  readonly decision: DecisionRecord | undefined;
  readonly outcome: OutcomeRecord | undefined;
}

/** What has to be there, because the harness declares what needs it. */
export function needed<T>(part: T | undefined, name: string): T {
  if (part === undefined) {
    throw new Error(`the harness declares what needs \`${name}\`, and does not have it`);
  }
  return part;
}

/** Holds back every record of one kind, until it is let go or the case ends. */
export function heldRecords(
  { gate, until }: CaseContext,
  opened: Opened,
  wanted: AuditRecord["kind"],
): { readonly reached: () => Promise<void>; readonly go: () => void } {
  const held = gate();
  let waits = 0;
  opened.records.before(async ({ kind }) => {
    if (kind !== wanted) return;
    waits += 1;
    await held.opened;
  });
  return {
    reached: () => until(`its ${wanted} is being written`, () => waits > 0),
    go: () => held.open(),
  };
}

/** What came of a call that has to be refused: its error, what it was shown, and what the backend let through. */
export async function attempted(
  { observe }: CaseContext,
  opened: Opened,
  delegation: Delegation,
): Promise<{
  readonly error: unknown;
  readonly shown: readonly string[];
  readonly letThrough: readonly string[];
}> {
  const before = await observe();
  let shown: readonly string[] = [];
  const error = await errorOf(
    opened.act(delegation, async (probe) => {
      shown = await look(probe);
    }),
  );
  return { error, shown, letThrough: readsBetween(before, await observe()) };
}
