import type { TypeParser } from "@behalf/core";

// PostgreSQL's own numbers of its types.
const BOOL = 16;
const INT2 = 21;
const INT4 = 23;
const OID = 26;
const JSON_TYPE = 114;
const FLOAT4 = 700;
const FLOAT8 = 701;
const JSONB = 3802;

type Parse = (text: string) => unknown;

const PARSERS: ReadonlyMap<number, Parse> = new Map<number, Parse>([
  [BOOL, (text) => text === "t"],
  ...[INT2, INT4, OID, FLOAT4, FLOAT8].map((type): [number, Parse] => [type, Number]),
  ...[JSON_TYPE, JSONB].map((type): [number, Parse] => [type, exactJson]),
]);

/**
 * JSON without changing a number: one that JavaScript cannot hold comes as its text, so that nobody acts on the
 * id of another row.
 */
function exactJson(text: string): unknown {
  // Seventeen digits, an exponent: what could lose something. The reviver costs ten times the parse.
  if (!/[\d.]{16}|\d[eE]/.test(text)) return JSON.parse(text);
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source
      ? context.source
      : value,
  );
}

const asText: Parse = (text) => text;

/**
 * Values as JSON carries them to an agent: what JSON has a type for in that type, everything else as
 * PostgreSQL writes it. A `date` as a `Date` would be another day west of Greenwich, and 20 of them cost 60 us.
 */
export const agentTypes: TypeParser = (typeId) => PARSERS.get(typeId) ?? asText;
