import { BehalfError, type SqlResult } from "@behalf/core";
import type pg from "pg";
import { show } from "./printing.ts";
import { CONTROL } from "./shop.ts";

/** What a statement brought, or the refusal. */
export type Outcome =
  | { readonly kind: "rows"; readonly result: SqlResult }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

/**
 * - `own`: the answer is the same where nobody else's rows exist
 * - `changing`: what differs there also differs from one moment to the next by itself, and no value that is only in others' rows is in it
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

/** The same statement for both: the shop's database, and a copy that holds the own company's rows and no others. */
export interface Sides {
  readonly asked: () => Promise<Outcome>;
  readonly inCopy: () => Promise<Outcome>;
}

/** Says whether anybody else's rows had an influence on an answer. */
export async function judge(
  statement: string,
  outcome: Outcome,
  others: OthersValues,
  inCopy: Outcome,
  sides: Sides,
): Promise<Verdict> {
  const ofServer = speaksOfServer(statement);
  const same = text(outcome) === text(inCopy);
  // The copy keeps sizes and statistics of whole tables, so that its plans are the same: there it proves nothing.
  if (same && !ofServer) return "own";
  if (others.within(statement, outcome)) return "foreign";
  if (isOtherDatabase(inCopy) || (ofServer && (same || !readsTables(statement)))) return "server";
  if (await differAlways(outcome, inCopy, sides)) return "foreign";
  return ofServer ? "server" : "changing";
}

const ROUNDS = 4;

/**
 * Whether both sides keep to their answers, and to different ones: the whole answer, or one column of it.
 * So a count tells even next to a column that changes by itself.
 */
async function differAlways(outcome: Outcome, inCopy: Outcome, sides: Sides): Promise<boolean> {
  const here = [parts(outcome)];
  const there = [parts(inCopy)];
  const differing = () => {
    const [first = [], [copied = []]] = [here[0], there];
    return Array.from({ length: Math.max(first.length, copied.length) }, (_, at) => at).filter(
      (at) =>
        first[at] !== copied[at] &&
        here.every((sample) => sample[at] === first[at]) &&
        there.every((sample) => sample[at] === copied[at]),
    );
  };
  for (let round = 0; round < ROUNDS && differing().length > 0; round += 1) {
    // Two at a time take two connections: what belongs to a connection differs, too.
    const [a, b, c, d] = await Promise.all([
      sides.asked(),
      sides.asked(),
      sides.inCopy(),
      sides.inCopy(),
    ]);
    here.push(parts(a), parts(b));
    there.push(parts(c), parts(d));
  }
  return differing().length > 0;
}

/** The answer as a whole, then each column by itself. */
function parts(outcome: Outcome): string[] {
  if (outcome.kind === "refused") return [text(outcome)];
  const { columns, rows } = outcome.result;
  const column = (at: number) =>
    rows
      .map((row) => JSON.stringify(row[at] ?? null))
      .toSorted()
      .join("\n");
  return [text(outcome), ...columns.map((_, at) => column(at))];
}

/**
 * The copy is another database: it refuses names that begin with the first one's (`shop.public.orders`),
 * and is asked by its own name then.
 */
export async function inCopyOf(
  sql: string,
  ask: (sql: string) => Promise<SqlResult>,
): Promise<Outcome> {
  const outcome = await outcomeOf(ask(sql));
  if (!isOtherDatabase(outcome)) return outcome;
  return outcomeOf(ask(sql.replace(/\bshop(?="?\s*\.\s*"?\w+"?\s*\.)/gi, CONTROL)));
}

function isOtherDatabase(outcome: Outcome): boolean {
  return outcome.kind === "refused" && outcome.message.startsWith("cross-database references");
}

const COMMENT_OR_QUOTED =
  /"(?:[^"]|"")*"|'(?:[^']|'')*'|\$(\w*)\$[\s\S]*?\$\1\$|\/\*[\s\S]*?\*\/|--.*/g;

function speaksOfServer(statement: string): boolean {
  const code = statement.replace(COMMENT_OR_QUOTED, (found) =>
    found.startsWith('"') ? found : " ",
  );
  return /\b(?:pg_\w+|current_(?:database|catalog|setting|schemas?|user|role|query)|session_user|inet_\w+|information_schema|whoami|txid_\w+|oid)\b/i.test(
    code,
  );
}

/** Also within a text that is run as a statement (`query_to_xml`); a text that is a bare name is none. */
function readsTables(statement: string): boolean {
  const code = statement.replace(COMMENT_OR_QUOTED, (found) =>
    /^(?:\/\*|--|'[\w."]*'$)/.test(found) ? " " : found,
  );
  return /\b(?:organisations|employees|customers|products|orders|invoices)\b/i.test(code);
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
