import type {
  ClaimPath,
  Condition,
  Field,
  PatternPiece,
  Rule,
  Value,
  ValueType,
} from "../src/index.ts";
import { type Address, inRange, ipHas, parseIp } from "./ip-address.ts";

/** A value as this evaluator holds it: Long, decimal, datetime and duration as bigint, entities by their id. */
export type Datum =
  | string
  | bigint
  | boolean
  | Address
  | readonly Datum[]
  | { readonly [field: string]: Datum };

/** One human, one row, and the groups around them. */
export interface Scene {
  readonly humanId: string;
  readonly claims: unknown;
  readonly rowId: string;
  /** By the column's name; what is not there is NULL. */
  readonly row: Readonly<Record<string, Datum | undefined>>;
  /** By the type of the groups: the human's own, and the parents of each. */
  readonly memberships: Readonly<Record<string, readonly string[]>>;
  readonly parents: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>>;
}

/** What a rule says of a scene. */
export function outcome(
  { condition }: Pick<Rule, "condition">,
  scene: Scene,
): "true" | "false" | "error" {
  const isTrue = ask(condition, true, scene);
  const isFalse = ask(condition, false, scene);
  if (isTrue && isFalse) throw new Error("a condition is true and false at once");
  return isTrue ? "true" : isFalse ? "false" : "error";
}

/**
 * Whether the condition is true, or whether it is false: the pair of questions that an emitter writes, each from
 * its own formula.
 */
function ask(condition: Condition, wanted: boolean, scene: Scene): boolean {
  const is = (each: Condition) => ask(each, true, scene);
  const isNot = (each: Condition) => ask(each, false, scene);
  const of = (value: Value) => evaluate(value, scene);
  /** Of values that are all there. */
  const test = (values: readonly Value[], holds: (...data: Datum[]) => boolean) => {
    const data = values.map(of);
    return data.every((datum) => datum !== undefined) && holds(...data) === wanted;
  };
  switch (condition.kind) {
    case "constant":
      return test(condition.provided, () => condition.value);
    case "all":
      return wanted
        ? is(condition.left) && is(condition.right)
        : isNot(condition.left) || (is(condition.left) && isNot(condition.right));
    case "any":
      return wanted
        ? is(condition.left) || (isNot(condition.left) && is(condition.right))
        : isNot(condition.left) && isNot(condition.right);
    case "not":
      return ask(condition.of, !wanted, scene);
    case "choice":
      return (
        (is(condition.test) && ask(condition.whenTrue, wanted, scene)) ||
        (isNot(condition.test) && ask(condition.whenFalse, wanted, scene))
      );
    case "flag":
      return of(condition.value) === wanted;
    case "present": {
      const { value, within } = condition;
      return wanted
        ? of(value) !== undefined
        : of(value) === undefined && (within === undefined || of(within) !== undefined);
    }
    case "equal":
      return test([condition.left, condition.right], same);
    case "equivalent": {
      const { left, right } = condition;
      return wanted
        ? (is(left) && is(right)) || (isNot(left) && isNot(right))
        : (is(left) && isNot(right)) || (isNot(left) && is(right));
    }
    case "less":
      return test([condition.left, condition.right], (a, b) =>
        condition.orEqual ? a <= b : a < b,
      );
    case "matches":
      return test([condition.value], (text) => matches(text as string, condition.pattern));
    case "contains":
      return test([condition.set, condition.element], (set, element) => holds(set, element));
    case "containsAll":
      return test([condition.set, condition.all], (set, all) =>
        list(all).every((each) => holds(set, each)),
      );
    case "containsAny":
      return test([condition.set, condition.any], (set, any) =>
        list(any).some((each) => holds(set, each)),
      );
    case "isEmpty":
      return test([condition.set], (set) => list(set).length === 0);
    case "setEqual":
      return test([condition.left, condition.right], sameSet);
    case "inRange":
      return test([condition.ip, condition.range], (ip, range) =>
        inRange(ip as Address, range as Address),
      );
    case "ipIs":
      return test([condition.ip], (ip) => ipHas(ip as Address, condition.property));
    case "isIn":
    default: {
      const { entity, groups, via } = condition;
      return test([entity, groups], (id, wantedGroups) => {
        const targets = groups.type.kind === "set" ? list(wantedGroups) : [wantedGroups];
        const found = new Set<Datum>();
        const target = groups.type.kind === "set" ? groups.type.element : groups.type;
        if (named(entity.type) === named(target)) found.add(id);
        if (via.kind !== "nothing") {
          const direct =
            via.kind === "membership"
              ? (scene.memberships[via.group] ?? [])
              : via.kind === "hierarchy"
                ? [id]
                : via.columns.map(of).filter((parent) => parent !== undefined);
          for (const group of upwards(direct as string[], scene.parents[via.group] ?? {})) {
            found.add(group);
          }
        }
        return targets.some((each) => found.has(each));
      });
    }
  }
}

function matches(text: string, [piece, ...more]: readonly PatternPiece[]): boolean {
  if (piece === undefined) return text === "";
  if (piece.kind === "literal") {
    return text.startsWith(piece.text) && matches(text.slice(piece.text.length), more);
  }
  return Array.from({ length: text.length + 1 }, (_, from) => text.slice(from)).some((rest) =>
    matches(rest, more),
  );
}

const named = (type: ValueType) => (type.kind === "entity" ? type.name : "");
const list = (datum: Datum) => datum as readonly Datum[];
const holds = (set: Datum, element: Datum) => list(set).some((each) => same(each, element));
const sameSet = (a: Datum, b: Datum) =>
  list(a).every((each) => holds(b, each)) && list(b).every((each) => holds(a, each));

function same(a: Datum, b: Datum): boolean {
  if (typeof a !== "object" || typeof b !== "object") return a === b;
  const [first, second] = [a as Address, b as Address];
  return (
    first.bits === second.bits && first.address === second.address && first.prefix === second.prefix
  );
}

function upwards(
  from: readonly string[],
  parents: Readonly<Record<string, readonly string[]>>,
): ReadonlySet<string> {
  const found = new Set(from);
  for (const each of found) for (const parent of parents[each] ?? []) found.add(parent);
  return found;
}

const MAX = 2n ** 63n - 1n;
const fits = (value: bigint) => (value >= -MAX - 1n && value <= MAX ? value : undefined);

/** A value, or `undefined` where Cedar's evaluation fails. */
function evaluate(value: Value, scene: Scene): Datum | undefined {
  switch (value.kind) {
    case "literal":
      return literal(value);
    case "human":
      return scene.humanId;
    case "row":
      return scene.rowId;
    case "column":
      return fieldOf(scene.row[value.column], value.fields);
    case "claim":
      return fieldOf(typedClaim(claimAt(scene.claims, value.claim), value.declared), value.fields);
    case "negated": {
      const of = evaluate(value.of, scene) as bigint | undefined;
      return of === undefined ? undefined : fits(-of);
    }
    case "arithmetic": {
      const left = evaluate(value.left, scene) as bigint | undefined;
      const right = evaluate(value.right, scene) as bigint | undefined;
      if (left === undefined || right === undefined) return undefined;
      if (value.operator === "+") return fits(left + right);
      return fits(value.operator === "-" ? left - right : left * right);
    }
    case "choice":
      if (ask(value.test, true, scene)) return evaluate(value.whenTrue, scene);
      return ask(value.test, false, scene) ? evaluate(value.whenFalse, scene) : undefined;
    case "set": {
      const elements = value.elements.map((each) => evaluate(each, scene));
      return elements.every((each) => each !== undefined) ? elements : undefined;
    }
    case "truth":
    default:
      if (ask(value.of, true, scene)) return true;
      return ask(value.of, false, scene) ? false : undefined;
  }
}

function literal({ type, value }: Value & { readonly kind: "literal" }): Datum {
  if (typeof value === "number") return BigInt(value);
  if (type.kind === "decimal") return BigInt((value as string).replace(".", ""));
  if (type.kind === "ip") return parseIp(value as string);
  return value;
}

function fieldOf(datum: Datum | undefined, fields: readonly string[]): Datum | undefined {
  return fields.reduce<Datum | undefined>(
    (record, field) =>
      record === undefined ? undefined : (record as Readonly<Record<string, Datum>>)[field],
    datum,
  );
}

function claimAt(claims: unknown, path: ClaimPath): unknown {
  return path.reduce<unknown>(
    (record, name) => (isRecord(record) && Object.hasOwn(record, name) ? record[name] : undefined),
    claims,
  );
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A claim as the schema types it, or nothing. */
export function typedClaim(claim: unknown, type: ValueType): Datum | undefined {
  switch (type.kind) {
    case "string":
    case "entity":
      return typeof claim === "string" ? claim : undefined;
    case "bool":
      return typeof claim === "boolean" ? claim : undefined;
    case "long":
      return Number.isSafeInteger(claim) ? BigInt(claim as number) : undefined;
    case "set": {
      if (!Array.isArray(claim)) return undefined;
      const elements = claim.map((each) => typedClaim(each, type.element));
      return elements.every((each) => each !== undefined) ? elements : undefined;
    }
    case "record":
      return isRecord(claim) ? typedRecord(claim, type.fields) : undefined;
    default:
      return undefined;
  }
}

function typedRecord(
  claim: Readonly<Record<string, unknown>>,
  fields: ReadonlyMap<string, Field>,
): Datum | undefined {
  const record: Record<string, Datum> = {};
  for (const [name, { type, isOptional }] of fields) {
    const field = typedClaim(claim[name], type);
    if (field !== undefined) record[name] = field;
    else if (!isOptional) return undefined;
  }
  return record;
}
