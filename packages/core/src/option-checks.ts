import { BehalfError } from "./errors.ts";

/**
 * A number of the options, or its default.
 *
 * @throws BehalfError `configuration` when it is no finite number of at least `least`
 */
export function numberOption(
  name: string,
  value: number | undefined,
  byDefault: number,
  least = 0,
): number {
  if (value === undefined) return byDefault;
  if (!Number.isFinite(value) || value < least) {
    throw new BehalfError("configuration", `${name} must be a number of at least ${least}`);
  }
  return value;
}

/** @throws BehalfError `configuration` when it is no string or empty */
export function textOption(name: string, value: unknown): string {
  if (typeof value === "string" && value !== "") return value;
  throw new BehalfError("configuration", `${name} must be a string that is not empty`);
}
