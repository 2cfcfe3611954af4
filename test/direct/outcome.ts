import {
  BehalfError,
  type Delegation,
  type QueryOptions,
  type SqlAdapter,
  type SqlResult,
  type SqlValue,
} from "@behalf/core";
import { trustedStatement } from "@behalf/core/trusted-text";
import type pg from "pg";

/** What came of one text, in the server's own words. */
export interface Outcome {
  /** SQLSTATE, where it was refused. */
  readonly error?: string;
  /** Name and type of each column. */
  readonly columns?: readonly string[];
  /** Each row's values as the server's text. */
  readonly rows?: readonly string[];
  /** How many rows a write without RETURNING changed. */
  readonly affected?: number | null;
  /** All rows of all tables after a write. */
  readonly content?: string | null;
}

/** The server's own text of every value. */
const asText = () => (text: string) => text;
const OPTIONS: QueryOptions = { typeParser: asText };

const rowsOf = (rows: readonly (readonly unknown[])[]) => rows.map((row) => JSON.stringify(row));

/** The human logged in, in a transaction that is undone. */
export async function directly(
  login: pg.Client,
  text: string,
  values: readonly SqlValue[] | undefined,
  access: "read" | "write",
): Promise<Outcome> {
  await login.query(access === "read" ? "begin read only" : "begin");
  try {
    const answer: pg.QueryArrayResult | readonly pg.QueryArrayResult[] = await login.query({
      text,
      rowMode: "array",
      types: { getTypeParser: asText },
      ...(values === undefined ? {} : { values: [...values] }),
    } as pg.QueryArrayConfig);
    const result = (Array.isArray(answer) ? answer.at(-1) : answer) as pg.QueryArrayResult;
    const outcome: Outcome = {
      columns: result.fields.map(({ name, dataTypeID }) => `${name}:${dataTypeID}`),
      rows: rowsOf(result.rows),
    };
    if (access === "read") return outcome;
    await login.query("set constraints all immediate");
    const { rows } = await login.query<{ content: string | null }>("select play.content()");
    return {
      ...outcome,
      affected: result.fields.length === 0 ? result.rowCount : null,
      content: rows[0]?.content ?? null,
    };
  } catch (error) {
    return { error: (error as pg.DatabaseError).code ?? String(error) };
  } finally {
    await login.query("rollback");
  }
}

/** Every way into the adapter. */
export const WAYS = [
  "query",
  "stream",
  "run",
  "statement",
  "statement stream",
  "statement run",
] as const;
export type Way = (typeof WAYS)[number];

class Undo extends Error {
  readonly outcome: Outcome;
  constructor(outcome: Outcome) {
    super("undo");
    this.outcome = outcome;
  }
}

function outcomeOf({ columns, rows, affectedRows }: SqlResult, access: "read" | "write"): Outcome {
  return {
    columns: columns.map(({ name, typeId }) => `${name}:${typeId}`),
    rows: rowsOf(rows),
    ...(access === "write"
      ? { affected: columns.length === 0 ? (affectedRows ?? null) : null }
      : {}),
  };
}

/** The same through Behalf. A write is undone, but for the ways `query` and `statement`: those commit. */
export async function throughBehalf(
  shop: SqlAdapter,
  delegation: Delegation,
  way: Way,
  text: string,
  values: readonly SqlValue[] | undefined,
  access: "read" | "write",
): Promise<Outcome> {
  try {
    const input = way.startsWith("statement") ? trustedStatement(text, values ?? []) : text;
    if (way.endsWith("stream")) {
      const stream = shop.stream(delegation, input, OPTIONS);
      const rows: (readonly unknown[])[] = [];
      for await (const row of stream) rows.push(row);
      return outcomeOf({ columns: stream.columns, rows, truncated: stream.truncated }, access);
    }
    if (!way.endsWith("run")) {
      return outcomeOf(await shop.query(delegation, input, { ...OPTIONS, access }), access);
    }
    return await shop.run(
      delegation,
      async (session) => {
        const outcome = outcomeOf(await session.query(input, OPTIONS), access);
        if (access === "read") return outcome;
        const after = await session.query(
          way === "run" ? "select play.content()" : trustedStatement("select play.content()"),
          OPTIONS,
        );
        throw new Undo({ ...outcome, content: (after.rows[0]?.[0] as string | null) ?? null });
      },
      { access },
    );
  } catch (error) {
    if (error instanceof Undo) return error.outcome;
    if (!BehalfError.isInstance(error)) throw error;
    return { error: error.nativeCode ?? error.code };
  }
}

/** What is not the same, or `null`. */
export function difference(direct: Outcome, other: Outcome, isOrdered: boolean): string | null {
  if (direct.error !== undefined || other.error !== undefined) {
    return direct.error === other.error ? null : `directly ${told(direct)}, here ${told(other)}`;
  }
  const order = (rows: readonly string[] = []) => (isOrdered ? rows : rows.toSorted());
  if (direct.columns?.join("\0") !== other.columns?.join("\0")) {
    return `directly the columns ${direct.columns?.join()}, here ${other.columns?.join()}`;
  }
  const [had, has] = [order(direct.rows), order(other.rows)];
  if (had.length !== has.length) return `directly ${had.length} rows, here ${has.length}`;
  const at = had.findIndex((row, index) => row !== has[index]);
  if (at !== -1) return `directly ${had[at]}, here ${has[at]}`;
  if ((direct.affected ?? null) !== (other.affected ?? null)) {
    return `directly ${direct.affected} rows changed, here ${other.affected}`;
  }
  if ((direct.content ?? null) !== (other.content ?? null)) {
    return `directly the tables hold\n${direct.content}\nhere\n${other.content}`;
  }
  return null;
}

const told = ({ error, rows }: Outcome) => error ?? `${rows?.length ?? 0} rows`;
