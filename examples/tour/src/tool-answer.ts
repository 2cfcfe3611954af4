import type { CallToolResult } from "@modelcontextprotocol/client";
import { z } from "zod";

const rows = z.object({
  columns: z.array(z.string()),
  rows: z.array(z.array(z.unknown())),
  affected_rows: z.number().optional(),
  truncated: z.enum(["rows", "bytes"]).optional(),
});
const refusal = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    sqlstate: z.string().optional(),
    advice: z.string(),
  }),
});
const principal = z.object({
  human: z.object({ issuer: z.string(), subject: z.string() }).nullable(),
  actors: z.array(z.string()),
  role: z.string(),
});

/** The rows that a tool brought. Values are what JSON carries. */
export interface RowsAnswer {
  readonly kind: "rows";
  readonly columns: readonly string[];
  readonly rows: readonly (readonly unknown[])[];
  /** How many rows a write changed that returned none. */
  readonly affectedRows: number | undefined;
  /** The limit that cut the answer. */
  readonly truncated: "rows" | "bytes" | undefined;
}

/** What a tool says instead of an answer. */
export interface RefusedAnswer {
  readonly kind: "refused";
  /** PostgreSQL's own code where it has one, else the gateway's. */
  readonly code: string;
  readonly message: string;
  /** What the agent is told to do. */
  readonly advice: string;
}

export type ToolAnswer = RowsAnswer | RefusedAnswer;

/** Whom the database takes the caller for. */
export interface Principal {
  readonly human: { readonly issuer: string; readonly subject: string } | null;
  readonly actors: readonly string[];
  readonly role: string;
}

/** @throws when it is not what Behalf's tools answer */
export function toolAnswer(result: CallToolResult): ToolAnswer {
  const answer = json(result);
  if (result.isError === true) {
    const { code, message, sqlstate, advice } = refusal.parse(answer).error;
    return { kind: "refused", code: sqlstate ?? code, message, advice };
  }
  const { columns, rows: found, truncated, affected_rows: affectedRows } = rows.parse(answer);
  return { kind: "rows", columns, rows: found, affectedRows, truncated };
}

/** @throws when it is not what `whoami` answers, or a refusal */
export function principalOf(result: CallToolResult): Principal {
  if (result.isError === true) {
    const { code, message } = refusal.parse(json(result)).error;
    throw new Error(`whoami was refused: ${code} ${message}`);
  }
  return principal.parse(json(result));
}

/** No rows where it was refused. */
export function rowsOf(answer: ToolAnswer): RowsAnswer["rows"] {
  return answer.kind === "rows" ? answer.rows : [];
}

function json({ content }: CallToolResult): unknown {
  const [only] = content;
  if (only?.type !== "text") throw new Error("the tool answered something other than text");
  return JSON.parse(only.text);
}
