import { BehalfError, isStatement, type Statement, type TypeParser } from "@behalf/core";

import type { PgClient } from "./pg-structure.ts";
import type { Step, StepResult } from "./postgres-batch.ts";
import { afterCommit } from "./postgres-errors.ts";
import {
  compositeReader,
  type Page,
  type PageResult,
  plainReader,
  readPage,
} from "./postgres-page.ts";
import { statementName } from "./postgres-prepared.ts";
import type { StepsOf } from "./postgres-start.ts";
import {
  assume,
  commit,
  read,
  reset,
  rollback,
  settle,
  settleStatement,
  write,
} from "./postgres-steps.ts";
import { valueText } from "./postgres-value.ts";

/** The two ways in: an agent's text goes into the sandbox, an author's statement runs as it is. */
export type Mode = "sandbox" | "statement";

/** The mode of an input. Only what `sql` made is a statement; everything else is somebody's text. */
export function modeOf(input: string | Statement): Mode {
  return isStatement(input) ? "statement" : "sandbox";
}

/** One input, ready to be sent inside a transaction in which the human was proved. */
export interface Sending {
  /** What stands before the steps where the human was proved by an earlier batch of the transaction. */
  readonly again: readonly Step[];
  readonly steps: StepsOf;
  /** Reads what these steps brought. */
  read(results: readonly StepResult[], typeParser: TypeParser): PageResult;
}

export function sending(input: string | Statement, access: "read" | "write", page: Page): Sending {
  if (isStatement(input)) return statementSending(input, page);
  const run = access === "write" ? write : read;
  return {
    again: [],
    // One row more shows that there are more.
    steps: () => [run(input, page.maxRows + 1, page.maxBytes)],
    read([ran], typeParser) {
      const fields = ran?.fields ?? [];
      const [line, affected] = ran?.rows[0] ?? [];
      // A write without RETURNING: the database counted, in a column that no text can reach.
      if (line === null && typeof affected === "string") {
        return { columns: [], rows: [], truncated: null, bytes: 0, affectedRows: Number(affected) };
      }
      return readPage(fields, ran?.rows ?? [], compositeReader(fields, typeParser), page);
    },
  };
}

/**
 * Reads what came back.
 *
 * @throws BehalfError with effect `unknown` for a write: by now it was made
 */
export function readAnswer(
  sent: Sending,
  results: readonly StepResult[],
  typeParser: TypeParser,
  access: "read" | "write",
): PageResult {
  try {
    return sent.read(results, typeParser);
  } catch (error) {
    throw access === "write" ? afterCommit(error) : error;
  }
}

function statementSending(input: Statement, page: Page): Sending {
  return {
    // Asks also whether the human is still welcome.
    again: [assume],
    steps: (role) => [{ ...statementStep(input, page.maxRows + 1, role), maxBytes: page.maxBytes }],
    read([ran], typeParser) {
      const fields = ran?.fields ?? [];
      const result = readPage(fields, ran?.rows ?? [], plainReader(fields, typeParser), page);
      const affectedRows = affectedBy(ran?.tag ?? "");
      return affectedRows === null ? result : { ...result, affectedRows };
    },
  };
}

/** Most parameters of one statement: their number is 16 bits wide in the protocol. */
const MAX_VALUES = 65_535;

/**
 * The statement itself, with at most `rows` rows of its result.
 *
 * @param role the statement role of this human; `null` sends the statement without a name
 */
export function statementStep(
  { text, values }: Statement,
  rows: number,
  role: string | null,
): Extract<Step, { text: string }> {
  if (values.length > MAX_VALUES) {
    throw new BehalfError(
      "configuration",
      `[postgres] the statement has ${values.length} values, and PostgreSQL takes ${MAX_VALUES}; pass lists, as in any($1)`,
      { backend: "postgres", reason: "value" },
    );
  }
  return {
    name: role === null ? "" : statementName(text, role),
    text,
    values: values.map(valueText),
    rows,
    authored: true,
  };
}

/** How many rows a command changed, from its tag, for example `INSERT 0 3`. A row cap suspends it without one. */
function affectedBy(tag: string): number | null {
  const match = /^(?:INSERT \d+|UPDATE|DELETE|MERGE) (\d+)$/.exec(tag);
  return match === null ? null : Number(match[1]);
}

/** What ends the transaction of a call, and cleans the connection, in the same batch. */
export function ending(mode: Mode, access: "read" | "write", client: PgClient): readonly Step[] {
  if (access === "read") return [rollback, ...reset("read", client)];
  return [mode === "sandbox" ? settle : settleStatement, commit, ...reset("write", client)];
}
