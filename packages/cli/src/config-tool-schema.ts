import { z } from "zod";

import { flag, list, text, whole } from "./config-values.ts";

const TYPES = [
  "string",
  "integer",
  "number",
  "boolean",
  "uuid",
  "date",
  "timestamp",
  "enum",
] as const;

const parameter = z.strictObject({
  type: z.enum(TYPES, { error: `must be one of ${TYPES.join(", ")}` }),
  description: text("What the agent reads").optional(),
  required: flag("Default is true, unless there is a default").optional(),
  default: z.union([z.string(), z.number(), z.boolean()]).optional(),
  values: list(text("A value"), "Of an enum").optional(),
});

/** A tool with its own statement, as it stands in the file. */
export const declaredToolSchema = z.strictObject({
  name: text("What agents call it").regex(
    /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/,
    "must be 1 to 64 of A-Z a-z 0-9 _ . - beginning with a letter",
  ),
  title: text("For people").optional(),
  description: text("What agents choose it by"),
  parameters: z.record(z.string(), parameter).optional(),
  access: z
    .enum(["read", "write"], { error: "must be read or write" })
    .optional()
    .describe("Default is read"),
  idempotent: flag("Whether a second call changes nothing more").optional(),
  destructive: flag("Whether it can take something away. Default is true").optional(),
  maxRows: whole(1, 1_000_000, "Most rows of an answer. Default is 1000").optional(),
  statement: text("SQL, with :name where a value belongs"),
});
