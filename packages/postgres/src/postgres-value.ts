import { BehalfError, type SqlValue } from "@behalf/core";

/**
 * A value of a statement in PostgreSQL's text form. The server decides its type from the statement, as it
 * does for every driver.
 *
 * @throws BehalfError `configuration` when it is no {@link SqlValue}; the message never holds it
 */
export function valueText(value: SqlValue, position: number): string | null {
  if (value === null || value === undefined) return null;
  switch (typeof value) {
    case "string":
      if (value.includes("\0")) throw unfit(position, "a string with a NUL character");
      // As UTF-8 it would arrive as U+FFFD: another value, and the same one for many.
      if (!value.isWellFormed()) throw unfit(position, "a string with half of a surrogate pair");
      return value;
    case "number":
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      if (value instanceof Date) return dateText(value, position);
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString("hex")}`;
      if (Array.isArray(value)) return arrayText(value, position);
      break;
    default:
  }
  throw unfit(position, typeof value === "object" ? "an object" : `a ${typeof value}`);
}

function dateText(value: Date, position: number): string {
  if (Number.isNaN(value.getTime())) throw unfit(position, "an invalid Date");
  const year = value.getUTCFullYear();
  // PostgreSQL writes years before 1 as BC and takes more than four digits without a sign.
  if (year >= 1 && year <= 9999) return value.toISOString();
  const rest = value.toISOString().slice(-20);
  return year < 1
    ? `${String(1 - year).padStart(4, "0")}${rest} BC`
    : `${String(year).padStart(4, "0")}${rest}`;
}

function arrayText(values: readonly SqlValue[], position: number): string {
  const items = values.map((value) => {
    if (Array.isArray(value)) return arrayText(value, position);
    const text = valueText(value, position);
    // Always in quotes: an element that reads NULL, or holds a comma or a brace, stays a text.
    return text === null ? "NULL" : `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  });
  return `{${items.join(",")}}`;
}

function unfit(position: number, what: string): BehalfError {
  return new BehalfError(
    "configuration",
    `[postgres] value $${position + 1} of the statement is ${what}; pass a string, number, bigint, boolean, Date, Uint8Array, null or a list of these (JSON as JSON.stringify(...))`,
    { backend: "postgres", reason: "value" },
  );
}
