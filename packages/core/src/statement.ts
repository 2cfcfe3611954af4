/** A value of a {@link Statement}. It travels apart from the text and can never become SQL. */
export type SqlValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | Date
  | Uint8Array
  | readonly SqlValue[];

declare const brand: unique symbol;

/**
 * Trusted SQL with values. The {@link sql} tag makes one, so its text stands in the source of whoever
 * wrote the tool; query builders go through `@behalf/core/trusted-text`. Adapters check the brand at run
 * time with {@link isStatement}.
 */
export interface Statement {
  readonly [brand]: "Statement";
  /** The text with `$1`, `$2`, ... in place of the values. */
  readonly text: string;
  readonly values: readonly SqlValue[];
}

// A registry of objects, not a property: nothing that JSON.parse or a spread can make passes.
const made = new WeakSet<object>();

/**
 * Makes a {@link Statement}. Interpolations become parameters, never text.
 *
 * @throws TypeError when it is called as a function with a text that was built at run time
 * @example
 * ```ts
 * const overdue = sql`select id, total from orders where due < ${new Date()} and region = ${region}`;
 * ```
 */
export function sql(strings: TemplateStringsArray, ...values: readonly SqlValue[]): Statement {
  // A template object is frozen, has a frozen `raw`, and neither can be had from JSON or from user input.
  // `raw` must be there: Object.isFrozen(undefined) is true.
  const isTemplate =
    Array.isArray(strings) &&
    Array.isArray(strings.raw) &&
    Object.isFrozen(strings) &&
    Object.isFrozen(strings.raw);
  if (!isTemplate) {
    throw new TypeError(
      "sql is a template tag: write sql`select ...`; a text that is built at run time goes to query() as a string",
    );
  }
  if (strings.length !== values.length + 1) {
    throw new TypeError("sql: the number of values does not fit the text");
  }
  return brandStatement(
    strings.reduce((before, part, index) => `${before}$${index}${part}`),
    values,
  );
}

/** Vouches for a text. Not part of the package's main entry: see `trusted-text.ts`. */
export function brandStatement(text: string, values: readonly SqlValue[]): Statement {
  const statement = Object.freeze({ text, values: Object.freeze([...values]) });
  made.add(statement);
  if (isStatement(statement)) return statement;
  throw new TypeError("the statement lost its brand");
}

/** Whether `value` was made by {@link sql}, or by `trustedStatement`, of this copy of the package. */
export function isStatement(value: unknown): value is Statement {
  return typeof value === "object" && value !== null && made.has(value);
}
