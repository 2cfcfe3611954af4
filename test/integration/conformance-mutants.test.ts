import { GROUPS } from "@behalf/conformance";
import type { postgres } from "@behalf/postgres";
import { describe, expect, inject, it } from "vitest";

import { mutatedCopy } from "../../packages/conformance/test-support/mutated-copy.ts";
import { isOfTheKit, POSTGRES_MUTANTS } from "../conformance/postgres-mutants.ts";
import { type MutantVerdict, resultsOf, runMutants } from "../conformance/run-mutants.ts";
import { conformanceWorld } from "../support/postgres-conformance.ts";

// All of them: npm run conformance -- --mutants. A mutant of the kit takes a database of its own, and a second.
const MUTANTS = POSTGRES_MUTANTS.filter((one) => one.isSlow !== true && !isOfTheKit(one));

function toldOf(catches: MutantVerdict["catches"]): readonly object[] {
  return catches.map(({ case: id, way, result }) => ({ id, way, status: result?.status }));
}

describe("a broken postgres adapter or kit", () => {
  it(
    `is noticed by the suite, in each of ${MUTANTS.length} ways`,
    { timeout: 120_000 },
    async () => {
      const url = inject("postgresUrl");
      await using shared = await conformanceWorld({ url });
      for await (const { mutant, catches } of runMutants(url, shared, MUTANTS)) {
        for (const one of catches) {
          const name = `${mutant.id}: ${one.case} [${one.way}]`;
          expect(one.result, name).toMatchObject({ status: "failed" });
          expect(one.result?.why, name).toContain(one.says);
        }
      }
      // The control: what fails on them passes on a copy in which nothing is changed.
      await using copy = await mutatedCopy({
        name: "postgres",
        folders: ["src", "sql"],
        id: "none",
        changes: [],
      });
      const made = (await import(copy.url("src/index.ts"))) as { postgres: typeof postgres };
      const caughtBy = MUTANTS.flatMap((mutant) => mutant.caughtBy);
      const controls = await resultsOf(shared, caughtBy, made.postgres);
      expect(toldOf(controls)).toEqual(
        caughtBy.map(({ case: id, way }) => ({ id, way, status: "passed" })),
      );
    },
  );

  it("is broken in something of every group", () => {
    expect(new Set(POSTGRES_MUTANTS.map(({ group }) => group))).toEqual(new Set(GROUPS));
    expect(new Set(POSTGRES_MUTANTS.map(({ id }) => id)).size).toBe(POSTGRES_MUTANTS.length);
  });
});
