import { BehalfError, type SqlResult } from "@behalf/core";
import type pg from "pg";
import { show } from "./printing.ts";

/** What a statement brought, or the refusal. */
export type Outcome =
  | { readonly kind: "rows"; readonly result: SqlResult }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

/**
 * - `own`: the answer is the same where nobody else's rows exist
 * - `changing`: it differs from one moment to the next by itself, and holds no value that is only in others' rows
 * - `server`: it speaks of the server itself (process ids, catalogues, sizes of whole tables), and holds no such value either
 * - `foreign`: somebody else's data is in it, as far as can be told
 */
export type Verdict = "own" | "changing" | "server" | "foreign";

export async function outcomeOf(asked: Promise<SqlResult>): Promise<Outcome> {
  try {
    return { kind: "rows", result: await asked };
  } catch (error) {
    if (!BehalfError.isInstance(error)) throw error;
    return {
      kind: "refused",
      code: error.nativeCode ?? error.code,
      message: error.message.replace("[postgres] ", ""),
    };
  }
}

/**
 * Says whether anybody else's rows had an influence on an answer.
 *
 * @param inCopy the answer in a copy of the database that holds the own company's rows and no others
 */
export async function judge(
  statement: string,
  outcome: Outcome,
  others: OthersValues,
  inCopy: Outcome,
  askAgain: () => Promise<Outcome>,
): Promise<Verdict> {
  // The copy keeps sizes and statistics of whole tables, so that its plans are the same: there it proves nothing.
  const ofServer = /\bpg_|current_|session_|inet_|information_schema|whoami|txid|oid/i.test(
    statement,
  );
  if (text(outcome) === text(inCopy) && !ofServer) return "own";
  if (others.within(statement, outcome)) return "foreign";
  if (ofServer) return "server";
  return text(outcome) === text(await askAgain()) ? "foreign" : "changing";
}

/** Without the order of rows, which nobody promised. */
function text(outcome: Outcome): string {
  if (outcome.kind === "refused") return `${outcome.code} ${outcome.message}`;
  return outcome.result.rows
    .map((row) => JSON.stringify(row))
    .toSorted()
    .join("\n");
}

/** Names, addresses and references that stand in rows of other companies and nowhere else. */
export interface OthersValues {
  readonly count: number;
  /** Whether one of them is in the answer, and was not in the statement to begin with. */
  within(statement: string, outcome: Outcome): boolean;
}

export async function othersValues(admin: pg.Client, company: string): Promise<OthersValues> {
  const { rows } = await admin.query<{ value: string }>(
    `with texts (org_id, value) as (
       select org_id, unnest(array[org_id, name]) from organisations
       union all select org_id, unnest(array[name, email, subject]) from employees
       union all select org_id, unnest(array[name, email]) from customers
       union all select org_id, name from products
       union all select org_id, reference from orders)
     select value from texts where value is not null
     group by value having not bool_or(org_id = $1)`,
    [company],
  );
  const values = new Set(rows.map(({ value }) => value));
  const references = /\b[0-9A-F]{10}\b/g;
  const names = [...values].filter((value) => !/^[0-9A-F]{10}$/.test(value));
  return {
    count: values.size,
    within(statement, outcome) {
      const answer =
        outcome.kind === "refused"
          ? outcome.message
          : outcome.result.rows.map((row) => row.map(show).join("\n")).join("\n");
      // References are unguessable and many; names are few and may stand within longer texts.
      const found = (answer.match(references) ?? []).filter((value) => values.has(value));
      found.push(...names.filter((value) => answer.includes(value)));
      return found.some((value) => !statement.toLowerCase().includes(value.toLowerCase()));
    },
  };
}
