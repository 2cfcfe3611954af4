import { inspect } from "node:util";
import { BehalfError } from "../src/index.ts";

/** Awaits a refusal and returns it. */
export async function refused(work: Promise<unknown>): Promise<BehalfError> {
  try {
    await work;
  } catch (error) {
    if (BehalfError.isInstance(error)) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

/** Code and reason of a refusal, for one comparison. */
export async function why(work: Promise<unknown>): Promise<string> {
  const { code, reason } = await refused(work);
  return `${code} ${reason}`;
}

/** Everything that a careless log line could show of a value. */
export function everythingOf(value: unknown): string {
  const shown = [inspect(value, { depth: Infinity, showHidden: true, getters: true })];
  shown.push(JSON.stringify(value) ?? "");
  for (let at: unknown = value; at instanceof Error; at = at.cause) {
    shown.push(String(at), at.stack ?? "", inspect(at, { depth: Infinity, showHidden: true }));
    shown.push(JSON.stringify(Object.getOwnPropertyDescriptors(at)) ?? "");
  }
  return shown.join("\n");
}
