import { BehalfError, isStatement, type CredentialSource, type RecordSink } from "@behalf/core";

import type { PgPool } from "./pg-structure.ts";
import type { Mode } from "./postgres-mode.ts";

export interface PostgresOptions {
  /**
   * A `pg.Pool` of the login for agents' texts (`behalf.add_gateway`), for this adapter alone: a pool that
   * somebody else uses, too, is refused. The adapter does not end it. Without it, agents' texts are refused.
   */
  readonly pool?: PgPool;
  /**
   * The login for an author's statements (`behalf.add_statement_gateway`), with a `pg.Pool` of its own.
   * Without it, statements are refused.
   */
  readonly statements?: {
    readonly pool: PgPool;
    /** Most statements that are kept prepared on one connection, by recency. Default is `256`. */
    readonly maxPreparedStatements?: number;
  };
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
  /** Most tickets that are kept for each login, one per token. Default is `10000`. */
  readonly maxTickets?: number;
  /**
   * Most connections of each pool that one human may hold at a time; further calls of theirs wait, and
   * nobody else's. Default is a quarter of the pool, rounded up.
   */
  readonly maxConnectionsPerHuman?: number;
  /**
   * Most calls of one human that may run or wait at a time, for each pool; more are refused with
   * `limit.exceeded`. Default is `64`.
   */
  readonly maxCallsPerHuman?: number;
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
  const { pool, statements } = options ?? {};
  if (pool === undefined && statements === undefined) {
    throw configuration(
      "`pool` must be a pg.Pool, for agents' texts; or `statements: { pool }`, for your own statements",
    );
  }
  if (pool !== undefined) checkPool("pool", pool);
  if (statements !== undefined) checkPool("statements.pool", statements.pool);
  if (pool !== undefined && pool === statements?.pool) {
    throw configuration(
      "`pool` and `statements.pool` are the same; agents' texts and statements need two logins",
    );
  }
  if (typeof options.credentials?.credential !== "function") {
    throw configuration(
      "`credentials` must be a credential source: credentialCache({ exchange: tokenExchange(...) }) or passthrough(...)",
    );
  }
  if (typeof options.records?.write !== "function") {
    throw configuration("`records` must be a record sink, for example jsonlSink({ path })");
  }
}

function checkPool(name: string, pool: PgPool): void {
  if (typeof pool?.connect !== "function" || typeof pool.on !== "function") {
    throw configuration(`\`${name}\` must be a pg.Pool`);
  }
  if (pool.options?.pipeline === true) {
    throw configuration(
      `\`${name}\` has \`pipeline: true\`; Behalf writes its own batches, so leave it out`,
    );
  }
}

/** @throws BehalfError when it is neither a text that can be sent nor a statement */
export function checkInput(input: unknown): void {
  if (typeof input === "string") checkText(input);
  else if (!isStatement(input)) throw noInput(input);
}

/** @throws BehalfError `statement.refused` when the text cannot be sent at all */
function checkText(input: string): void {
  if (input.trim() === "") throw refused("the statement is empty; send one SELECT");
  if (input.length > MAX_STATEMENT_LENGTH) {
    throw refused(`the statement is longer than ${MAX_STATEMENT_LENGTH} characters`);
  }
  if (input.includes("\0")) throw refused("the statement holds a NUL character");
  if (!input.isWellFormed()) throw refused("the statement holds half of a surrogate pair");
}

function noInput(input: unknown): BehalfError {
  const kind = input === null ? "null" : typeof input;
  return new BehalfError(
    "configuration",
    `[postgres] the input is an agent's text, as a string, or a statement that the sql tag made, not ${kind}`,
    { backend: "postgres", reason: "input" },
  );
}

/** Why a call is refused whose login this adapter does not have. */
export function noLogin(mode: Mode): BehalfError {
  return new BehalfError(
    "configuration",
    mode === "statement"
      ? "[postgres] this adapter has no login for statements; pass `statements: { pool }`"
      : "[postgres] this adapter has no login for agents' texts; pass `pool`, or make a statement with the sql tag",
    { backend: "postgres", reason: mode === "statement" ? "statement_mode" : "sandbox_mode" },
  );
}

/** @throws BehalfError `configuration` when it is out of range */
export function wholeOption(name: string, value: number | undefined, byDefault: number): number {
  return whole(name, value ?? byDefault, 1, 2_147_483_647);
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
