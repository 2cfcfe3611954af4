import {
  type Delegation,
  type QueryOptions,
  type RunOptions,
  type SqlAdapter,
  type SqlResult,
  type Statement,
  type TypeParser,
} from "@behalf/core";
import { drizzle, type PgRemoteDatabase } from "drizzle-orm/pg-proxy";
import type { DrizzleConfig } from "drizzle-orm/utils";

import { builderStatement, objectsOf, WHOLE, wholeOf } from "./builder-input.ts";

type Schema = Record<string, unknown>;

export interface DrizzleOptions<Tables extends Schema> extends Pick<
  QueryOptions,
  "signal" | "deadlineMs" | "maxRows" | "maxBytes"
> {
  /** Drizzle does not tell its drivers what a query does: say `write` to let it. Default is `read`. */
  readonly access?: "read" | "write";
  /** Drizzle's own: schema for relational queries, casing of names. */
  readonly config?: Pick<DrizzleConfig<Tables>, "schema" | "casing">;
}

/**
 * Drizzle for one human's call: its queries are statements of the adapter's statement mode, recorded and
 * run as that human. A text of `sql.raw` is the author's own, as ever.
 *
 * One query object can be executed for any human: build it with Drizzle's `QueryBuilder`, and pass it to
 * `execute`. Transactions are {@link drizzleRun}; `db.transaction()` is refused.
 *
 * @param delegation of one call: make another one, and with it another Drizzle, for the next
 * @throws BehalfError, as the cause of Drizzle's own error, what `adapter.query` throws
 * @example
 * ```ts
 * const open = new QueryBuilder().select().from(orders).where(eq(orders.status, "open"));
 * const alices = await drizzleFor(shop, alice).execute(open);
 * const bobs = await drizzleFor(shop, bob).execute(open);
 * ```
 */
export function drizzleFor<Tables extends Schema = Record<string, never>>(
  adapter: SqlAdapter,
  delegation: Delegation,
  options: DrizzleOptions<Tables> = {},
): PgRemoteDatabase<Tables> {
  const { config, access = "read", ...limits } = options;
  return over(config, (statement) =>
    adapter.query(delegation, statement, { ...WHOLE, ...limits, access, typeParser: asDrizzle }),
  );
}

/**
 * One transaction of one human. It commits when `work` returns, and keeps nothing when it throws.
 *
 * @example
 * ```ts
 * await drizzleRun(shop, alice, async (tx) => {
 *   const [order] = await tx.insert(orders).values(draft).returning();
 *   await tx.insert(lines).values({ order: order.id, product });
 * }, { access: "write" });
 * ```
 */
export function drizzleRun<Result, Tables extends Schema = Record<string, never>>(
  adapter: SqlAdapter,
  delegation: Delegation,
  work: (tx: PgRemoteDatabase<Tables>) => Promise<Result>,
  options: RunOptions & Pick<DrizzleOptions<Tables>, "config"> = {},
): Promise<Result> {
  const { config, ...runOptions } = options;
  return adapter.run(
    delegation,
    (session) =>
      work(
        over(config, (statement) => session.query(statement, { ...WHOLE, typeParser: asDrizzle })),
      ),
    runOptions,
  );
}

function over<Tables extends Schema>(
  config: DrizzleOptions<Tables>["config"],
  query: (statement: Statement) => Promise<SqlResult>,
): PgRemoteDatabase<Tables> {
  return drizzle<Tables>(async (text, parameters, method) => {
    const result = wholeOf(await query(builderStatement(text, parameters)));
    return { rows: method === "all" ? result.rows.map((row) => [...row]) : objectsOf(result) };
  }, config);
}

/** Type ids that Drizzle's columns read from their text: date, timestamp, timestamptz, interval, numeric and their lists. */
const TEXTS: ReadonlySet<number> = new Set([
  1082, 1114, 1184, 1186, 1700, 1182, 1115, 1185, 1187, 1231,
]);

const asDrizzle: TypeParser = (typeId) => (TEXTS.has(typeId) ? (text) => text : undefined);
