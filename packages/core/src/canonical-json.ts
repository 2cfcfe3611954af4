import { isJsonObject } from "./json-object.ts";

/**
 * RFC 8785: one text for one value, whatever the order of its members. Members that are `undefined` are
 * left out, as in JSON.
 *
 * @throws TypeError for what JSON cannot carry, and for text that is not well-formed Unicode
 */
export function canonicalJson(value: unknown): string {
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw new TypeError("canonicalJson: a string is not well-formed");
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (isJsonObject(value)) {
    const members = Object.entries(value)
      .filter(([, member]) => member !== undefined)
      // RFC 8785 sorts by UTF-16 units, as this comparison does.
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, member]) => `${canonicalJson(name)}:${canonicalJson(member)}`);
    return `{${members.join(",")}}`;
  }
  const isJson =
    value === null || typeof value === "boolean" || (typeof value === "number" && isFinite(value));
  if (!isJson) throw new TypeError(`canonicalJson: JSON has no ${typeof value} like this`);
  return JSON.stringify(value);
}
