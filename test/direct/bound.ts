import type { SqlValue } from "@behalf/core";

import type { Random } from "./random.ts";
import { type Query, readable } from "./reads.ts";
import { keyValue, type Schema } from "./schema.ts";
import { TEXTS } from "./values.ts";

export interface BoundQuery extends Query {
  readonly values: readonly SqlValue[];
}

const VALUES: readonly (readonly [type: string, value: SqlValue])[] = [
  ...TEXTS.map((text) => ["text", text] as const),
  ["int", 42],
  ["int", "-7"],
  ["bigint", 9_223_372_036_854_775_807n],
  ["numeric", "0.10"],
  ["numeric", 1e21],
  ["float8", 0.1],
  ["float8", Number.NaN],
  ["float8", Number.NEGATIVE_INFINITY],
  ["boolean", true],
  ["boolean", "f"],
  ["timestamptz", new Date("2026-03-29T01:30:00.123Z")],
  ["timestamptz", new Date("0099-01-02T03:04:05Z")],
  ["date", "2026-02-28"],
  ["bytea", new Uint8Array([0, 255, 92, 39])],
  ["bytea", new Uint8Array()],
  ["int[]", [1, null, 3]],
  ["text[]", ["a", null, "NULL", "", 'q"q', "b\\s", "c,d", "{x}"]],
  ["text[]", []],
  [
    "int[]",
    [
      [1, 2],
      [3, 4],
    ],
  ],
  ["jsonb", JSON.stringify({ a: [1, null, "ü"], "b'c": { d: '"' } })],
  ["uuid", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"],
  ["interval", "1 mon -3 days"],
  ["inet", "10.0.0.0/8"],
  ["int4range", "[1,5)"],
  ["play.mood", "very happy"],
  ["play.pair", '(1,"a ""b""")'],
  ["text", null],
  ["int", null],
  // What the server refuses.
  ["int", "x"],
  ["play.mood", "angry"],
  ["jsonb", "{bad"],
];

/** An author's statement: the text is fixed, the values come from outside. */
export function boundQuery(random: Random, { tables }: Schema): BoundQuery {
  const table = random.pick(tables);
  const [type, value] = random.pick(VALUES);
  const column = random.pick(readable(table));
  const text = random.pick(TEXTS);
  return random.pick<BoundQuery>([
    {
      text: `select $1::${type} as given, $1::${type}::text, a.id, ${column.name} from ${table.name} a where a.level <= $2 order by a.id`,
      values: [value, random.int(6)],
      isOrdered: true,
    },
    {
      text: `select a.id, a.owner from ${table.name} a where a.id = $1`,
      values: [keyValue(table, 1 + random.int(20))],
      isOrdered: false,
    },
    {
      text: `select count(*), $2::text from ${table.name} a where a.org = any ($1)`,
      values: [["acme", text, null], text],
      isOrdered: false,
    },
    {
      text: `select a.id, coalesce(a.team, $1), $2::${type} is null from ${table.name} a where ($3 or a.owner = $4) limit $5`,
      values: [text, value, true, "alice", 100],
      isOrdered: false,
    },
    {
      text: `select x.*, a.id from ${table.name} a, jsonb_to_recordset($1) as x (n int, w text) where x.n = a.level`,
      values: [JSON.stringify([{ n: 1, w: text }, { n: 2 }])],
      isOrdered: false,
    },
  ]);
}
