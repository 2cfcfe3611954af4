import { BehalfError, isStatement, type CredentialSource, type RecordSink } from "@behalf/core";

import type { PgPool } from "./pg-structure.ts";

export interface PostgresOptions {
  /**
   * A `pg.Pool` of the gateway's login, for this adapter alone: nothing else may use it. The adapter
   * does not end it.
   */
  readonly pool: PgPool;
  /** Where the token for this database comes from: `credentialCache({ exchange })`, or `passthrough(...)`
   * where the human's own token has this database as its audience. */
  readonly credentials: CredentialSource;
  /** Where decisions and outcomes are recorded. */
  readonly records: RecordSink;
  /**
   * Whether records hold the statement's text, or only its hash. Literals can be personal data. Default
   * is `hash`.
   */
  readonly recordStatements?: "hash" | "text";
  /** Longest time for a call, in milliseconds. Default is `30000`. */
  readonly deadlineMs?: number;
  /** Most rows that a query returns. Default is `1000`. */
  readonly maxRows?: number;
  /** Most bytes of row text that a query returns. Default is `1048576` (1 MiB). */
  readonly maxBytes?: number;
  /**
   * Whether Behalf's own statements are prepared once per connection. Turn it off behind a PgBouncer in
   * transaction mode that does not keep prepared statements. Default is `true`.
   */
  readonly preparedStatements?: boolean;
  /** Most tickets that are kept, one per token. Default is `10000`. */
  readonly maxTickets?: number;
}

/** Limits of one call, with every default filled in. */
export interface Limits {
  readonly deadlineMs: number;
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** Longest text of an agent that is sent to the database, in UTF-16 units. */
const MAX_STATEMENT_LENGTH = 1_048_576;

/** @throws BehalfError `configuration` when an option is missing or out of range */
export function limitsOf(options: Partial<Limits>, defaults: Limits): Limits {
  return {
    // setTimeout and statement_timeout both end at 2^31 - 1 ms.
    deadlineMs: whole("deadlineMs", options.deadlineMs ?? defaults.deadlineMs, 1, 2_147_483_647),
    maxRows: whole("maxRows", options.maxRows ?? defaults.maxRows, 0, 2_147_483_646),
    maxBytes: whole("maxBytes", options.maxBytes ?? defaults.maxBytes, 1, Number.MAX_SAFE_INTEGER),
  };
}

export function checkOptions(options: PostgresOptions): void {
  if (typeof options?.pool?.connect !== "function" || typeof options.pool.on !== "function") {
    throw configuration("`pool` must be a pg.Pool");
  }
  if (typeof options.credentials?.credential !== "function") {
    throw configuration(
      "`credentials` must be a credential source: credentialCache({ exchange: tokenExchange(...) }) or passthrough(...)",
    );
  }
  if (typeof options.records?.write !== "function") {
    throw configuration("`records` must be a record sink, for example jsonlSink({ path })");
  }
  if (options.pool.options?.pipeline === true) {
    throw configuration(
      "the pool has `pipeline: true`; Behalf writes its own batches, so leave it out",
    );
  }
}

/** @throws BehalfError `statement.refused` when the text cannot be sent at all */
export function checkText(input: string): void {
  if (input.trim() === "") throw refused("the statement is empty; send one SELECT");
  if (input.length > MAX_STATEMENT_LENGTH) {
    throw refused(`the statement is longer than ${MAX_STATEMENT_LENGTH} characters`);
  }
  if (input.includes("\0")) throw refused("the statement holds a NUL character");
}

/** Why an input that is no string is refused: this adapter has no login for trusted statements. */
export function notAText(input: unknown): BehalfError {
  const reason = isStatement(input) ? "statement_mode" : "input";
  const message = isStatement(input)
    ? "this adapter has no login for trusted statements; pass the text as a string to run it in the sandbox"
    : `a statement is a string, not ${input === null ? "null" : typeof input}`;
  return new BehalfError("configuration", `[postgres] ${message}`, { backend: "postgres", reason });
}

function whole(name: string, value: number, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw configuration(
    `\`${name}\` must be a whole number from ${least} to ${most}, not ${String(value)}`,
  );
}

function configuration(message: string): BehalfError {
  return new BehalfError("configuration", `[postgres] ${message}`, { backend: "postgres" });
}

function refused(message: string): BehalfError {
  return new BehalfError("statement.refused", `[postgres] ${message}`, { backend: "postgres" });
}
