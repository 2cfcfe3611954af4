import { isJsonObject } from "./json-object.ts";

/** Longest fact, in UTF-16 units. */
const MAX_FACT_LENGTH = 200;

/** Longest token that is looked into. Above it only the length is told. */
const MAX_LOOK_LENGTH = 64 * 1024;

/**
 * What a refused token says of itself, for the records: `iss`, `sub`, `kid`, `alg`, `typ` where they
 * are strings, cut to 200 characters, with control, format and line separator characters replaced.
 * NOT verified. Never throws, and never gives token bytes back.
 */
export function unverifiedFacts(token: unknown): Readonly<Record<string, string>> {
  if (typeof token !== "string" || token === "") return {};
  if (token.length > MAX_LOOK_LENGTH) return { length: String(token.length) };
  const [header, payload] = token.split(".", 2).map(looselyParsed);
  const facts: Record<string, string> = {};
  for (const [name, source] of [
    ["iss", payload],
    ["sub", payload],
    ["kid", header],
    ["alg", header],
    ["typ", header],
  ] as const) {
    const value = source?.[name];
    if (typeof value === "string") facts[name] = printable(value);
  }
  return facts;
}

function looselyParsed(part: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString("utf8"));
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

/** Safe to print: no escape sequence for a terminal, no direction override, no line of its own. */
function printable(value: string): string {
  return value
    .slice(0, MAX_FACT_LENGTH)
    .toWellFormed()
    .replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "\u{fffd}");
}
