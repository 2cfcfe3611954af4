import { concurrencyCases } from "./cases/concurrency.ts";
import { costCases } from "./cases/cost.ts";
import { delegationCases } from "./cases/delegation.ts";
import { errorCases } from "./cases/errors.ts";
import { failClosedCases } from "./cases/fail-closed.ts";
import { injectionCases } from "./cases/injection.ts";
import { isolationCases } from "./cases/isolation.ts";
import { lifecycleCases } from "./cases/lifecycle.ts";
import { revocationCases } from "./cases/revocation.ts";
import { secretCases } from "./cases/secrets.ts";
import { taskScopeCases } from "./cases/task-scope.ts";
import type { BoundHarness, BoundWay } from "./bound-harness.ts";
import type { ConformanceCase } from "./conformance-case.ts";
import { skipReason } from "./skip-reason.ts";

/** Everything that an adapter is asked, in order. */
export const CASES: readonly ConformanceCase[] = [
  ...delegationCases,
  ...failClosedCases,
  ...isolationCases,
  ...concurrencyCases,
  ...injectionCases,
  ...errorCases,
  ...taskScopeCases,
  ...revocationCases,
  ...secretCases,
  ...lifecycleCases,
  ...costCases,
];

/** A case in one of the ways of a harness. */
export interface PlannedCase {
  readonly one: ConformanceCase;
  readonly way: BoundWay;
  /** The title for people, with the way where there are several. */
  readonly name: string;
  /** Why it is not run, or `null`. */
  readonly skipped: string | null;
}

/**
 * Which cases this harness runs, and which not and why.
 *
 * @param waysPerCase most ways in which one case is run, others for each next case
 */
export function planCases(
  bound: BoundHarness,
  waysPerCase: number = Infinity,
): readonly PlannedCase[] {
  return CASES.flatMap((one, index) => {
    const ways =
      one.ways === "once"
        ? bound.ways.slice(0, 1)
        : one.ways === "callbacks"
          ? bound.ways.filter(({ isCallback }) => isCallback)
          : bound.ways;
    const named = one.ways !== "once" && bound.ways.length > 1;
    const planned = ways.map((way): PlannedCase => ({
      one,
      way,
      name: named ? `${one.title} [${way.name}]` : one.title,
      skipped: skipReason(one, bound.facts, way),
    }));
    // One line where no way can run it, not one for each.
    const [first] = planned;
    const isSkipped =
      first !== undefined && planned.every(({ skipped }) => skipped === first.skipped);
    if (isSkipped && first.skipped !== null) return [{ ...first, name: one.title }];
    const run = planned.filter(({ skipped }) => skipped === null);
    const chosen = new Set(inTurn(run, waysPerCase, index));
    return planned.filter((plan) => plan.skipped !== null || chosen.has(plan));
  });
}

/** So many of a list, spread over it, beginning elsewhere each time. */
function inTurn<T>(list: readonly T[], count: number, turn: number): readonly T[] {
  if (count >= list.length) return list;
  const places = new Set(
    Array.from({ length: count }, (_, part) => turn + Math.floor((part * list.length) / count)).map(
      (place) => place % list.length,
    ),
  );
  return list.filter((_, place) => places.has(place));
}
