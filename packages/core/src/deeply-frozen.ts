import { Secret } from "./secret.ts";

/** What was found frozen: it stays so. */
const known = new WeakSet<object>();

/**
 * Whether nobody can ever read another value out of `value`: plain data all of which is frozen, down to
 * its leaves, or a {@link Secret}. An accessor is no data, however frozen the object is that has it.
 */
export function isDeeplyFrozen(value: unknown): boolean {
  if (typeof value === "function") return false;
  if (typeof value !== "object" || value === null || known.has(value)) return true;
  if (!Object.isFrozen(value) || !isData(value)) return false;
  for (const part of Object.values(Object.getOwnPropertyDescriptors(value))) {
    if (!("value" in part) || !isDeeplyFrozen(part.value)) return false;
  }
  known.add(value);
  return true;
}

/** Anything else may hold what freezing does not reach, as a Map does. */
function isData(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return (
    prototype === Object.prototype ||
    prototype === Array.prototype ||
    prototype === Secret.prototype
  );
}
