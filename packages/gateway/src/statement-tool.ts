import { BehalfError, isStatement, type Statement } from "@behalf/core";
import type { z } from "zod";

import { agentTypes } from "./agent-types.ts";
import { rowsAnswer } from "./tool-answer.ts";
import { argumentsOf } from "./tool-arguments.ts";
import type { Tool } from "./tool.ts";

/** A tool whose SQL its author wrote; the agent chooses values and nothing else. */
export interface StatementToolOptions<Input extends z.ZodObject> {
  /** 1 to 64 of `A-Z a-z 0-9 _ . -`, beginning with a letter. */
  readonly name: string;
  /** For people. */
  readonly title?: string;
  /** What agents choose the tool by. */
  readonly description: string;
  /** The arguments. Members that it does not name are refused. */
  readonly input: Input;
  /** Default is `read`. */
  readonly access?: "read" | "write";
  /** For a tool that writes: whether a second call with the same arguments changes nothing more. Default is `false`. */
  readonly idempotent?: boolean;
  /** For a tool that writes: whether it can take something away. Default is `true`. */
  readonly destructive?: boolean;
  /** Most rows of one answer. Default is `1000`. */
  readonly maxRows?: number;
  /** Makes the statement with the `sql` tag: what stands in `${...}` travels as a value and never becomes SQL. */
  readonly statement: (args: z.output<Input>) => Statement;
}

/**
 * Declares a tool as a parameterised statement. It runs as the human, with the human's rows, like every
 * other call; its text is trusted because its author wrote it.
 *
 * @example
 * ```ts
 * const ordersOf = statementTool({
 *   name: "orders_of",
 *   description: "Orders of one region, newest first",
 *   input: z.object({ region: z.string() }),
 *   statement: ({ region }) => sql`select id, total from orders where region = ${region}`,
 * });
 * ```
 */
export function statementTool<Input extends z.ZodObject>(
  options: StatementToolOptions<Input>,
): Tool {
  const { name, title, description, access = "read", idempotent, destructive, statement } = options;
  const maxRows = options.maxRows ?? 1_000;
  return {
    name,
    title,
    description,
    access,
    idempotent,
    destructive,
    input: options.input,
    async call(args, { database, delegation, signal, deadlineMs }) {
      const made = statement(argumentsOf(options.input, args));
      if (!isStatement(made)) {
        throw new BehalfError(
          "configuration",
          `[gateway] the tool ${name} made no statement; use the sql tag`,
        );
      }
      return rowsAnswer(
        await database.query(delegation, made, {
          access,
          maxRows,
          signal,
          deadlineMs,
          typeParser: agentTypes,
        }),
      );
    },
  };
}
