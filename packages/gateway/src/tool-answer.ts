import type { SqlResult } from "@behalf/core";

/** Rows as an agent gets them: lists beside the columns' names, so that two columns of one name both stay. */
export interface RowsAnswer {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  readonly row_count: number;
  /** Rows that a statement changed, where the backend says so. */
  readonly affected_rows?: number;
  readonly truncated?: "rows" | "bytes";
  readonly hint?: string;
}

const HINTS = {
  rows: "There are more rows. Add a WHERE clause, aggregate in SQL, or ask for a larger max_rows.",
  bytes:
    "The rows were too large to send all of them. Select fewer columns, shorten long texts with left(), or aggregate in SQL.",
} as const;

/** The answer for a result, with values that JSON can carry. */
export function rowsAnswer(result: SqlResult): RowsAnswer {
  const { truncated } = result;
  return {
    columns: result.columns.map(({ name }) => name),
    rows: result.rows.map(plainRow),
    row_count: result.rows.length,
    ...(result.affectedRows === undefined ? {} : { affected_rows: result.affectedRows }),
    ...(truncated === null ? {} : { truncated, hint: HINTS[truncated] }),
  };
}

/** The row itself where JSON can carry it, which is nearly always. */
function plainRow(row: readonly unknown[]): readonly unknown[] {
  for (const value of row) {
    if (!isPlain(value)) return row.map(plainValue);
  }
  return row;
}

function isPlain(value: unknown): boolean {
  switch (typeof value) {
    case "string":
    case "boolean":
      return true;
    case "number":
      return Number.isFinite(value);
    case "object":
      return value === null;
    default:
      return false;
  }
}

/**
 * A value that `JSON.stringify` neither loses nor refuses: bigint as decimal text, bytes as PostgreSQL's
 * hex form, dates as ISO 8601, the numbers that JSON does not know as text.
 */
export function plainValue(value: unknown): unknown {
  if (isPlain(value)) return value;
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (value === undefined) return null;
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? String(value) : value.toISOString();
  }
  if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [name, plainValue(member)]),
    );
  }
  // A function or a symbol: no driver gives one.
  return null;
}
