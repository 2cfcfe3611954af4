import {
  BehalfError,
  type QueryOptions,
  type SqlResult,
  type SqlValue,
  type Statement,
} from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";

/** No limit: what a builder's code asks for, it means, and a write has happened however much of it is returned. */
export const WHOLE: Required<Pick<QueryOptions, "maxRows" | "maxBytes">> = {
  maxRows: 2_147_483_646,
  maxBytes: Number.MAX_SAFE_INTEGER,
};

/**
 * A statement of what a query builder compiled. The builder keeps values apart from its text; what its
 * `raw` functions are given, the author vouches for.
 */
export function builderStatement(text: string, parameters: readonly unknown[]): Statement {
  // The adapter refuses what is no value, and says which one.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return trustedStatement(text, parameters as readonly SqlValue[]);
}

/**
 * Rows as objects. Of two columns with one name the last one stays, as with `pg`. Their type is what the
 * author declared to the builder; the database decides what comes.
 */
export function objectsOf<Row>(result: Pick<SqlResult, "columns" | "rows">): Row[] {
  const names = result.columns.map(({ name }) => name);
  return result.rows.map((row) => {
    const object: Record<string, unknown> = {};
    for (const [index, name] of names.entries()) object[name] = row[index];
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return object as Row;
  });
}

/** A builder's code does not look whether rows are missing, so they may not be. */
export function wholeOf(result: SqlResult): SqlResult {
  if (result.truncated === null) return result;
  throw new BehalfError(
    "backend.failed",
    `[postgres] the result has more ${result.truncated} than the limit that was set; raise it, ask for less, or stream`,
    { backend: "postgres", reason: "truncated" },
  );
}
