import { brandStatement, type SqlValue, type Statement } from "./statement.ts";

/**
 * Makes a {@link Statement} of a text that was put together at run time. Whoever calls it vouches that no
 * part of `text` came from an agent, a human or a row. It exists for query builders, whose texts come from
 * code and whose values stay apart, and for files that only the operator can write. Everybody else writes
 * the `sql` tag, and an agent's text goes to `query()` as a string.
 *
 * It has an entry of its own so that a search for `trusted-text` finds everybody who vouches.
 *
 * @param text with `$1`, `$2`, ... in place of the values
 * @throws TypeError when the text is empty or no string, or holds a NUL character
 * @example
 * ```ts
 * import { trustedStatement } from "@behalf/core/trusted-text";
 *
 * const compiled = query.compile(); // Kysely
 * await shop.query(delegation, trustedStatement(compiled.sql, compiled.parameters));
 * ```
 */
export function trustedStatement(text: string, values: readonly SqlValue[] = []): Statement {
  if (typeof text !== "string" || text.trim() === "" || text.includes("\0")) {
    throw new TypeError(
      "trustedStatement: the text must be SQL, as a string without NUL characters",
    );
  }
  return brandStatement(text, values);
}
