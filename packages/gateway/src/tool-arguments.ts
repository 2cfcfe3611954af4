import { BehalfError } from "@behalf/core";
import type { z } from "zod";

/** The `reason` of the error that {@link argumentsOf} throws. */
export const ARGUMENTS = "arguments";

/**
 * What a schema makes of an agent's arguments.
 *
 * @throws BehalfError `statement.refused` (reason `arguments`) that says what to correct
 */
export function argumentsOf<Input extends z.ZodObject>(
  input: Input,
  args: unknown,
): z.output<Input> {
  const given = args ?? {};
  const problems: string[] = [];
  if (typeof given === "object") {
    for (const name of Object.keys(given)) {
      if (!Object.hasOwn(input.shape, name)) problems.push(`${name}: there is no such argument`);
    }
  }
  const parsed = input.safeParse(given);
  if (parsed.success && problems.length === 0) return parsed.data;
  for (const { path, message } of parsed.error?.issues ?? []) {
    problems.push(path.length === 0 ? message : `${path.join(".")}: ${message}`);
  }
  // A caller may send a thousand wrong members; nobody reads more than a few.
  throw new BehalfError("statement.refused", problems.slice(0, 10).join("; "), {
    reason: ARGUMENTS,
  });
}
