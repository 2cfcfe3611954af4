import { isStatement, type Statement, type TypeParser } from "@behalf/core";

import type { PgField } from "./pg-structure.ts";
import type { Step, StepResult } from "./postgres-batch.ts";
import type { Connection } from "./postgres-connection.ts";
import { statementStep } from "./postgres-mode.ts";
import {
  compositeReader,
  type Page,
  type PageResult,
  plainReader,
  readPage,
  type RowReader,
  typeParserOf,
} from "./postgres-page.ts";
import { type HumanCall, startCall, type Started } from "./postgres-start.ts";
import { arm, checkStatement, fetch, open } from "./postgres-steps.ts";

/** What one page holds at most, about: large enough that a round trip costs little, small enough to hold. */
const PAGE_BYTES = 262_144;
const PAGE_ROWS = 5_000;
const FIRST_PAGE_ROWS = 100;

/** The portal of a statement whose result is read page by page. */
const PORTAL = "behalf_stream";

export interface StreamPage extends PageResult {
  readonly isLast: boolean;
}

export interface Pages {
  next(): Promise<StreamPage>;
  readonly native: Started["native"];
}

/** How one page of an input is asked for, and how its end shows. */
interface Source {
  /** Opens the result and brings its first page. */
  first(rows: number, maxBytes: number, statementRole: string | null): readonly Step[];
  more(rows: number, maxBytes: number): readonly Step[];
  /** The two results that hold the columns, of the first page, and the rows. */
  fields(results: readonly StepResult[]): readonly PgField[];
  rows(results: readonly StepResult[]): StepResult;
  reader(fields: readonly PgField[], typeParser: TypeParser): RowReader;
  /** Whether the server has no row after these. */
  isExhausted(result: StepResult, asked: number, bytes: number): boolean;
}

/** The pages of one input, in a transaction of their own. */
export function pages(
  input: string | Statement,
  connection: Connection,
  human: HumanCall,
  limits: Page,
  typeParser: TypeParser | undefined,
): Pages {
  const source = isStatement(input) ? statementSource(input) : textSource(input);
  let native: Started["native"] = {};
  let fields: readonly PgField[] | null = null;
  let read: RowReader = () => null;
  let rowsLeft = limits.maxRows;
  let bytesLeft = limits.maxBytes;
  let pageRows = isStatement(input) ? FIRST_PAGE_ROWS : PAGE_ROWS;

  async function ask(asked: number): Promise<readonly StepResult[]> {
    // A reader who went away without a word must not keep the transaction open. Anew for each page: a text
    // may have changed it.
    const timeout = arm(human.clock.serverMs());
    if (fields !== null) {
      return (await connection.send([timeout, ...source.more(asked, bytesLeft)])).slice(1);
    }
    const started = await startCall(connection, human, (role) => [
      timeout,
      ...source.first(asked, bytesLeft, role),
    ]);
    ({ native } = started);
    const results = started.rest.slice(1);
    fields = source.fields(results);
    read = source.reader(fields, typeParserOf(typeParser, connection.client));
    return results;
  }

  return {
    get native() {
      return native;
    },
    async next() {
      // One row more than there may be shows that there are more.
      const asked = Math.min(pageRows, rowsLeft + 1);
      const result = source.rows(await ask(asked));
      const left: Page = { maxRows: rowsLeft, maxBytes: bytesLeft };
      const page = readPage(fields ?? [], result.rows, read, left);
      const { rows, bytes, truncated } = page;
      rowsLeft -= rows.length;
      bytesLeft -= bytes;
      if (isStatement(input)) pageRows = nextPageRows(pageRows, rows.length, bytes);
      const isLast = truncated !== null || source.isExhausted(result, asked, bytes);
      return { ...page, isLast };
    },
  };
}

/** The server does not count bytes for a statement: the last page tells how many rows fit, a doubling at most. */
function nextPageRows(pageRows: number, rows: number, bytes: number): number {
  const fitting = rows === 0 ? pageRows : Math.floor(PAGE_BYTES / Math.max(1, bytes / rows));
  return Math.max(1, Math.min(fitting, pageRows * 2, PAGE_ROWS));
}

function textSource(text: string): Source {
  return {
    first: (rows, maxBytes) => [open(text), fetch(rows, maxBytes, PAGE_BYTES)],
    more: (rows, maxBytes) => [fetch(rows, maxBytes, PAGE_BYTES)],
    fields: ([opened]) => opened?.fields ?? [],
    rows: lastOf,
    reader: compositeReader,
    isExhausted: (result, asked, bytes) => result.rows.length < asked && bytes < PAGE_BYTES,
  };
}

function statementSource(statement: Statement): Source {
  return {
    first: (rows, _maxBytes, role) => [{ ...statementStep(statement, rows, role), portal: PORTAL }],
    // The sandbox asks for itself whether the human may go on; a portal does not.
    more: (rows) => [checkStatement, { portal: PORTAL, rows }],
    fields: ([ran]) => ran?.fields ?? [],
    rows: lastOf,
    reader: plainReader,
    // A portal that has more is suspended and says nothing.
    isExhausted: (result) => result.tag !== "",
  };
}

function lastOf(results: readonly StepResult[]): StepResult {
  return results.at(-1) ?? { rows: [], fields: [], tag: "" };
}
