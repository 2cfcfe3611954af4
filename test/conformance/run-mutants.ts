import { type CaseResult, runConformance } from "@behalf/conformance";
import type { installKit, postgres } from "@behalf/postgres";

import { mutatedCopy } from "../../packages/conformance/test-support/mutated-copy.ts";
import {
  type ConformanceWorld,
  conformanceWorld,
  postgresHarness,
} from "../support/postgres-conformance.ts";
import { type Catch, isOfTheKit, type PostgresMutant } from "./postgres-mutants.ts";

/** What the named cases said of one mutant. */
export interface MutantVerdict {
  readonly mutant: PostgresMutant;
  readonly catches: readonly (Catch & { readonly result: CaseResult | undefined })[];
  readonly isCaught: boolean;
}

interface Made {
  readonly postgres: typeof postgres;
  readonly installKit: typeof installKit;
}

/** For the interleaved case, where a mutant names it. */
const INTERLEAVINGS = 500;
/** A case that waits in vain gives up after 10 s. */
const TIMEOUT_MS = 30_000;

/**
 * Runs the cases that are said to catch each mutant on it. Mutants of the adapter share the given database,
 * those of the kit make one on its server.
 */
export async function* runMutants(
  url: string,
  shared: ConformanceWorld,
  mutants: readonly PostgresMutant[],
): AsyncGenerator<MutantVerdict> {
  for (const mutant of mutants) {
    await using stack = new AsyncDisposableStack();
    const copy = stack.use(
      await mutatedCopy({
        name: "postgres",
        folders: ["src", "sql"],
        id: mutant.id,
        changes: mutant.changes,
      }),
    );
    const made = (await import(copy.url("src/index.ts"))) as Made;
    const world = isOfTheKit(mutant)
      ? stack.use(await conformanceWorld({ url, installKit: made.installKit }))
      : shared;
    const catches = await resultsOf(world, mutant.caughtBy, made.postgres);
    // What a mutant lets run must not be counted for the next one.
    const { admin, names } = world.world;
    await admin.query(
      "select pg_terminate_backend(pid) from pg_stat_activity where usename = any($1)",
      [[names.gateway, names.statementGateway]],
    );
    const isCaught = catches.every(
      ({ result, says }) => result?.status === "failed" && result.why?.includes(says) === true,
    );
    yield { mutant, catches, isCaught };
  }
}

/** What these cases say of an adapter; the package's own where none is given. */
export async function resultsOf(
  world: ConformanceWorld,
  wanted: readonly Catch[],
  make?: typeof postgres,
): Promise<MutantVerdict["catches"]> {
  const isWanted = (id: string, way: string) =>
    wanted.some((one) => one.case === id && one.way === way);
  const { results } = await runConformance(postgresHarness(world, make), {
    interleavings: INTERLEAVINGS,
    timeoutMs: TIMEOUT_MS,
    only: isWanted,
  });
  return wanted.map((one) => ({
    ...one,
    result: results.find(({ id, way }) => id === one.case && way === one.way),
  }));
}
