import type { Entities } from "@cedar-policy/cedar-wasm/nodejs";
import fc from "fast-check";

import type { EntityMapping, PolicySchema, ValueType } from "../src/index.ts";
import { type Address, parseIp } from "./ip-address.ts";
import { type Datum, type Scene, typedClaim } from "./pair-evaluator.ts";
import { IPS, LONGS, STRINGS, TEAMS, USERS } from "./random-policy.ts";

type CedarValue = Entities[number]["attrs"][string];

const text = fc.constantFrom(...STRINGS);
const team = fc.constantFrom(...TEAMS);
const few = <T>(element: fc.Arbitrary<T>) => fc.array(element, { maxLength: 3 });
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { freq: 3, nil: undefined });
const i64 = fc.constantFrom(
  ...LONGS.map(BigInt),
  9_223_372_036_854_775_807n,
  -9_223_372_036_854_775_808n,
  4_611_686_018_427_387_904n,
  9_007_199_254_740_993n,
);

/** A claim of the schema's type most of the time, and otherwise something else. */
const claim = <T>(value: fc.Arbitrary<T>) =>
  fc.oneof(
    { arbitrary: maybe(value as fc.Arbitrary<unknown>), weight: 6 },
    fc.constantFrom<unknown>(null, 1.5, {}, [null], "red", [1, "a"], { city: 3 }),
  );

const columns: Readonly<Record<string, fc.Arbitrary<Datum | undefined>>> = {
  owner: maybe(fc.constantFrom(...USERS)),
  team: maybe(team),
  other: maybe(team),
  teams: maybe(few(team)),
  org: maybe(text),
  title: maybe(text),
  size: maybe(i64),
  count: maybe(i64),
  open: maybe(fc.boolean()),
  price: maybe(fc.constantFrom(0n, 15_000n, -1n, 2n ** 63n - 1n, -(2n ** 63n))),
  at: maybe(fc.constantFrom(0n, -1n, 1_709_164_800_000n, 1_709_164_800_001n, -(2n ** 63n))),
  ip: maybe(fc.constantFrom(...IPS).map((ip): Datum => parseIp(ip))),
  labels: maybe(few(text)),
  sizes: maybe(few(i64)),
  flags: maybe(few(fc.boolean())),
  color: maybe(fc.constantFrom("red", "green", "blue")),
  place: maybe(
    fc
      .record({
        city: text,
        floor: maybe(i64),
        inner: maybe(fc.record({ flag: maybe(fc.boolean()) }).map(known)),
      })
      .map(known),
  ),
};

function known<T>(record: Readonly<Record<string, T | undefined>>): Readonly<Record<string, T>> {
  return Object.fromEntries(
    Object.entries(record).filter((entry): entry is [string, T] => entry[1] !== undefined),
  );
}

const safe = fc.constantFrom(...LONGS);
const claims = fc.record({
  org_id: claim(text),
  level: claim(fc.record({ now: claim(safe) })),
  admin: claim(fc.boolean()),
  topics: claim(few(text)),
  scores: claim(few(safe)),
  home: claim(team),
  friend: claim(fc.constantFrom(...USERS)),
  groups: claim(few(team)),
  office: claim(
    fc
      .record({
        city: claim(text),
        floor: claim(safe),
        inner: claim(fc.record({ flag: claim(fc.boolean()) }).map(known)),
      })
      .map(known),
  ),
  act: claim(fc.record({ sub: text })),
  mfa: claim(fc.boolean()),
  mission: claim(fc.record({ id: claim(text), folder: claim(text), n: claim(safe) }).map(known)),
});

export interface RandomScene extends Scene {
  readonly action: string;
  readonly rowType: string;
}

export const randomScene: fc.Arbitrary<RandomScene> = fc.record({
  action: fc.constantFrom("read", "update", "delete"),
  rowType: fc.constantFrom("Doc", "Doc", "Doc", "Doc", "Note"),
  humanId: fc.constantFrom(...USERS),
  claims: claims.map(known),
  rowId: fc.constantFrom("d1", "d2"),
  row: fc.record(columns).map(known),
  memberships: few(team).map((Team) => ({ Team })),
  // A team is only in teams after it: Cedar takes no cycles.
  parents: fc.tuple(...TEAMS.map((_, i) => fc.subarray(TEAMS.slice(i + 1)))).map((above) => ({
    Team: Object.fromEntries(TEAMS.map((id, i) => [id, above[i] ?? []])),
  })),
});

function cedarValue(datum: Datum, type: ValueType): CedarValue {
  switch (type.kind) {
    case "entity":
      return { __entity: { type: type.name, id: datum as string } };
    case "set":
      return (datum as readonly Datum[]).map((each) => cedarValue(each, type.element));
    case "record":
      return cedarAttributes(datum as Readonly<Record<string, Datum>>, type.fields);
    case "long":
      return exactNumber(datum as bigint);
    case "decimal":
      return { __extn: { fn: "decimal", arg: decimalText(datum as bigint) } };
    case "datetime":
      // Of every datetime there is, only those from year 0 to 9999 have a text.
      return {
        __extn: {
          fn: "offset",
          args: [
            { __extn: { fn: "datetime", arg: "1970-01-01" } },
            { __extn: { fn: "duration", arg: `${(datum as bigint).toString()}ms` } },
          ],
        },
      };
    case "ip":
      return { __extn: { fn: "ip", arg: ipText(datum as Address) } };
    default:
      return datum as string | boolean;
  }
}

/** A number of JavaScript's would be rounded on the way into the evaluator. */
function exactNumber(value: bigint): number {
  return (JSON as unknown as { rawJSON(text: string): number }).rawJSON(value.toString());
}

function decimalText(units: bigint): string {
  const digits = (units < 0n ? -units : units).toString().padStart(5, "0");
  return `${units < 0n ? "-" : ""}${digits.slice(0, -4)}.${digits.slice(-4)}`;
}

function ipText({ bits, address, prefix }: Address): string {
  const size = bits === 32 ? 8n : 16n;
  const parts = Array.from({ length: bits === 32 ? 4 : 8 }, (_, i) => {
    const part = (address >> (size * BigInt((bits === 32 ? 3 : 7) - i))) & ((1n << size) - 1n);
    return part.toString(bits === 32 ? 10 : 16);
  });
  return `${parts.join(bits === 32 ? "." : ":")}/${prefix}`;
}

function cedarAttributes(
  data: Readonly<Record<string, Datum | undefined>>,
  types: ReadonlyMap<string, { readonly type: ValueType }>,
): Record<string, CedarValue> {
  const attributes: Record<string, CedarValue> = {};
  for (const [name, { type }] of types) {
    const datum = data[name];
    if (datum !== undefined) attributes[name] = cedarValue(datum, type);
  }
  return attributes;
}

/** The scene as Cedar's evaluator takes it. */
export function cedarRequest(scene: RandomScene, schema: PolicySchema) {
  const teamUid = (id: string) => ({ type: "Team", id });
  const principal = { type: "User", id: scene.humanId };
  const resource = { type: scene.rowType, id: scene.rowId };
  const user = schema.entities.get("User") as EntityMapping;
  const row = schema.entities.get(scene.rowType) as EntityMapping;
  const context = schema.actions.find(({ name }) => name === `Action::"${scene.action}"`)?.context;
  const fromClaims = (
    attributes: ReadonlyMap<
      string,
      { readonly type: ValueType; readonly claim: readonly string[] | undefined }
    >,
  ) =>
    cedarAttributes(
      Object.fromEntries(
        [...attributes].map(([name, { type, claim: path = [] }]) => [
          name,
          typedClaim(
            path.reduce<unknown>(
              (record, part) =>
                typeof record === "object" && record !== null && !Array.isArray(record)
                  ? (record as Readonly<Record<string, unknown>>)[part]
                  : undefined,
              scene.claims,
            ),
            type,
          ),
        ]),
      ),
      attributes,
    );
  const parentColumns = scene.rowType === "Doc" ? [scene.row["team"], scene.row["other"]] : [];
  return {
    principal,
    action: { type: "Action", id: scene.action },
    resource,
    context: fromClaims(context ?? new Map()),
    entities: [
      ...TEAMS.map((id) => ({
        uid: teamUid(id),
        attrs: {},
        parents: (scene.parents["Team"]?.[id] ?? []).map(teamUid),
      })),
      {
        uid: principal,
        attrs: fromClaims(user.attributes),
        parents: (scene.memberships["Team"] ?? []).map(teamUid),
      },
      {
        uid: resource,
        attrs: cedarAttributes(scene.row, row.attributes),
        parents: parentColumns.filter((id): id is string => typeof id === "string").map(teamUid),
      },
    ],
  };
}
