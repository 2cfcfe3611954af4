import { z } from "zod";

import { agentTypes } from "./agent-types.ts";
import { rowsAnswer } from "./tool-answer.ts";
import { argumentsOf } from "./tool-arguments.ts";
import type { Tool } from "./tool.ts";

const AS_JSON = { typeParser: agentTypes } as const;

/** One SELECT of the agent's own. The text is hostile: the adapter runs it in the database's sandbox. */
export function queryTool(limits: {
  readonly defaultRows: number;
  readonly maxRows: number;
}): Tool {
  const input = z.object({
    sql: z
      .string()
      .min(1)
      .describe("One SELECT statement in PostgreSQL's SQL, with values as literals."),
    max_rows: z
      .int()
      .min(1)
      .max(limits.maxRows)
      .default(limits.defaultRows)
      .describe("Most rows to return."),
  });
  return {
    name: "query",
    title: "Query the database",
    description:
      "Runs one SELECT statement as the human on whose behalf you act, and returns what the database lets that human see. Read only. Call describe_tables first to learn tables and columns.",
    access: "read",
    input,
    async call(args, { database, delegation, signal, deadlineMs }) {
      const { sql, max_rows: maxRows } = argumentsOf(input, args);
      return rowsAnswer(
        await database.query(delegation, sql, { ...AS_JSON, maxRows, signal, deadlineMs }),
      );
    },
  };
}

/** One statement of the agent's own that changes rows. Offered only where the operator says so. */
export function writeTool(limits: { readonly maxRows: number }): Tool {
  const input = z.object({
    sql: z
      .string()
      .min(1)
      .describe(
        "One INSERT, UPDATE, DELETE or MERGE statement, with values as literals. Add RETURNING to see the rows.",
      ),
  });
  return {
    name: "write",
    title: "Change rows",
    description:
      "Runs one INSERT, UPDATE, DELETE or MERGE as the human on whose behalf you act, in a transaction of its own. The database decides what that human may change.",
    access: "write",
    destructive: true,
    input,
    async call(args, { database, delegation, signal, deadlineMs }) {
      const { sql } = argumentsOf(input, args);
      const { maxRows } = limits;
      const options = { ...AS_JSON, access: "write", maxRows, signal, deadlineMs } as const;
      return rowsAnswer(await database.query(delegation, sql, options));
    },
  };
}
