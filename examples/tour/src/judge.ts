import type pg from "pg";
import { CONTROL } from "./control-copy.ts";
import { show } from "./printing.ts";
import type { ToolAnswer } from "./tool-answer.ts";

/**
 * - `own`: the answer is the same where nobody else's rows exist
 * - `changing`: what differs there also differs from one moment to the next by itself, and no value that is only in others' rows is in it
 * - `server`: it speaks of the server itself (process ids, catalogues, sizes of whole tables), and holds no such value either
 * - `foreign`: somebody else's data is in it, as far as can be told
 */
export type Verdict = "own" | "changing" | "server" | "foreign";

/** The same statement for both: the shop's database, and a copy that holds the own company's rows and no others. */
export interface Sides {
  readonly asked: () => Promise<ToolAnswer>;
  readonly inCopy: () => Promise<ToolAnswer>;
}

/** Says whether anybody else's rows had an influence on an answer. */
export async function judge(
  statement: string,
  answer: ToolAnswer,
  others: OthersValues,
  inCopy: ToolAnswer,
  sides: Sides,
): Promise<Verdict> {
  const ofServer = speaksOfServer(statement);
  const same = text(answer) === text(inCopy);
  // The copy keeps sizes and statistics of whole tables, so that its plans are the same: there it proves nothing.
  if (same && !ofServer) return "own";
  if (others.within(statement, answer)) return "foreign";
  if (isOtherDatabase(inCopy) || (ofServer && (same || !readsTables(statement)))) return "server";
  if (await differAlways(answer, inCopy, sides)) return "foreign";
  return ofServer ? "server" : "changing";
}

const ROUNDS = 4;

/**
 * Whether both sides keep to their answers, and to different ones: the whole answer, or one column of it.
 * So a count tells even next to a column that changes by itself. Asking again takes other connections
 * than the first time: what belongs to a connection changes as well.
 */
async function differAlways(
  answer: ToolAnswer,
  inCopy: ToolAnswer,
  sides: Sides,
): Promise<boolean> {
  const here = [parts(answer)];
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
function parts(answer: ToolAnswer): string[] {
  if (answer.kind === "refused") return [text(answer)];
  const { columns, rows } = answer;
  const column = (at: number) =>
    rows
      .map((row) => JSON.stringify(row[at] ?? null))
      .toSorted()
      .join("\n");
  return [text(answer), ...columns.map((_, at) => column(at))];
}

/**
 * The copy is another database: it refuses names that begin with the first one's (`shop.public.orders`),
 * and is asked by its own name then.
 */
export async function inCopyOf(
  sql: string,
  ask: (sql: string) => Promise<ToolAnswer>,
): Promise<ToolAnswer> {
  const answer = await ask(sql);
  if (!isOtherDatabase(answer)) return answer;
  return ask(sql.replace(/\bshop(?="?\s*\.\s*"?\w+"?\s*\.)/gi, CONTROL));
}

function isOtherDatabase(answer: ToolAnswer): boolean {
  return answer.kind === "refused" && answer.message.startsWith("cross-database references");
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
function text(answer: ToolAnswer): string {
  if (answer.kind === "refused") return `${answer.code} ${answer.message}`;
  return answer.rows
    .map((row) => JSON.stringify(row))
    .toSorted()
    .join("\n");
}

/** Names, addresses and references that stand in rows of other companies and nowhere else. */
export interface OthersValues {
  readonly count: number;
  /** Whether one of them is in the answer, and was not in the statement to begin with. */
  within(statement: string, answer: ToolAnswer): boolean;
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
    within(statement, answer) {
      const shown =
        answer.kind === "refused"
          ? answer.message
          : answer.rows.map((row) => row.map(show).join("\n")).join("\n");
      // References are unguessable and many; names are few and may stand within longer texts.
      const found = (shown.match(references) ?? []).filter((value) => values.has(value));
      found.push(...names.filter((value) => shown.includes(value)));
      return found.some((value) => !statement.toLowerCase().includes(value.toLowerCase()));
    },
  };
}
