import { mayFail } from "./conditions.ts";
import type { Condition, Value } from "./intermediate.ts";
import type { EntityMapping, ValueType } from "./policy-schema.ts";
import { claimSql } from "./postgres-claim.ts";
import { quotedName, quotedText } from "./postgres-text.ts";
import { Unsupported } from "./unsupported.ts";

/**
 * The types of a table's columns, as `format_type` writes them. A text column with a nondeterministic collation
 * must not be among them: its `=` takes different strings for equal.
 */
export type ColumnTypes = Readonly<Record<string, string>>;

export interface EmitContext {
  readonly human: EntityMapping;
  readonly row: EntityMapping;
  readonly columns: ColumnTypes;
}

/** Which types of columns carry a type of Cedar's exactly, in the forms that are written here. */
const CARRIERS: Partial<Record<ValueType["kind"], readonly string[]>> = {
  string: ["text"],
  entity: ["text"],
  long: ["smallint", "integer", "bigint"],
  bool: ["boolean"],
  set: ["text[]"],
};

const notYet = (what: string) =>
  new Unsupported(`${what} is not emitted for PostgreSQL yet`, "write this policy by hand for now");

/**
 * SQL that is true if and only if the condition is (`wanted` true), or is false (`wanted` false). Else it is
 * false or NULL: nothing here may be put under a NOT.
 */
export function conditionSql(condition: Condition, wanted: boolean, context: EmitContext): string {
  const sql = (value: Value) => valueSql(value, context);
  const isTrue = (each: Condition) => conditionSql(each, true, context);
  const isFalse = (each: Condition) => conditionSql(each, false, context);
  const infix = (left: Value, operator: string, opposite: string, right: Value) =>
    `${sql(left)} ${wanted ? operator : opposite} ${sql(right)}`;
  /** Of an expression that is NULL if one of its parts is. */
  const strict = (text: string) => (wanted ? text : `not (${text})`);
  switch (condition.kind) {
    case "constant":
      if (condition.value !== wanted) return "false";
      return conjunction(condition.provided.map((value) => `${sql(value)} is not null`));
    case "all":
      return wanted
        ? conjunction([isTrue(condition.left), isTrue(condition.right)])
        : secondOnlyAfter(condition.left, true, condition.right, false, context);
    case "any":
      return wanted
        ? secondOnlyAfter(condition.left, false, condition.right, true, context)
        : conjunction([isFalse(condition.left), isFalse(condition.right)]);
    case "not":
      return conditionSql(condition.of, !wanted, context);
    case "choice": {
      const branch = (each: Condition) => conditionSql(each, wanted, context);
      return `((${isTrue(condition.test)} and ${branch(condition.whenTrue)}) or (${isFalse(condition.test)} and ${branch(condition.whenFalse)}))`;
    }
    case "flag":
      return wanted ? sql(condition.value) : `(not ${sql(condition.value)})`;
    case "present": {
      const { value, within } = condition;
      if (wanted) return `${sql(value)} is not null`;
      return conjunction([
        `${sql(value)} is null`,
        ...(within === undefined ? [] : [`${sql(within)} is not null`]),
      ]);
    }
    case "equal":
      if (
        condition.left.type.kind === "decimal" ||
        condition.left.type.kind === "datetime" ||
        condition.left.type.kind === "ip"
      ) {
        throw notYet(`a ${condition.left.type.kind}`);
      }
      return infix(condition.left, "=", "<>", condition.right);
    case "equivalent": {
      const { left, right } = condition;
      const other = (each: Condition) => conditionSql(each, !wanted, context);
      return `((${isTrue(left)} and ${conditionSql(right, wanted, context)}) or (${isFalse(left)} and ${other(right)}))`;
    }
    case "less":
      if (condition.left.type.kind !== "long") throw notYet(`a ${condition.left.type.kind}`);
      return condition.orEqual
        ? infix(condition.left, "<=", ">", condition.right)
        : infix(condition.left, "<", ">=", condition.right);
    case "matches": {
      const pattern = condition.pattern
        .map((piece) =>
          piece.kind === "wildcard" ? "%" : piece.text.replaceAll(/[\\%_]/g, String.raw`\$&`),
        )
        .join("");
      return `${sql(condition.value)} ${wanted ? "like" : "not like"} ${quotedText(pattern)}`;
    }
    case "contains": {
      const element = sql(condition.element);
      const set = sql(condition.set);
      // A comparison with no element at all is true, also of NULL.
      if (!wanted) {
        return `(${element} is not null and ${element} <> all (array_remove(${set}, null)))`;
      }
      return condition.set.kind === "column"
        ? `${set} @> array[${element}]`
        : `${element} = any (${set})`;
    }
    case "containsAll":
      return strict(`${sql(condition.set)} @> array_remove(${sql(condition.all)}, null)`);
    case "containsAny":
      return strict(`${sql(condition.set)} && ${sql(condition.any)}`);
    case "isEmpty":
      return `cardinality(array_remove(${sql(condition.set)}, null)) ${wanted ? "=" : "<>"} 0`;
    case "setEqual": {
      const [left, right] = [condition.left, condition.right].map(
        (each) => `array_remove(${sql(each)}, null)`,
      );
      return strict(`(${left} @> ${right} and ${right} @> ${left})`);
    }
    case "isIn":
      return membershipSql(condition, wanted, context);
    default:
      throw notYet(`the type ipaddr`);
  }
}

function conjunction(parts: readonly string[]): string {
  const needed = parts.filter((part) => part !== "true");
  if (needed.length === 0) return "true";
  return needed.length === 1 ? (needed[0] ?? "true") : `(${needed.join(" and ")})`;
}

/**
 * The first, or else the second: it counts only where the first was evaluated, and had the other answer. Where
 * the first cannot fail that is so anyway, and the short form lets PostgreSQL use two indexes.
 */
function secondOnlyAfter(
  first: Condition,
  firstIs: boolean,
  second: Condition,
  wanted: boolean,
  context: EmitContext,
): string {
  const ends = conditionSql(first, wanted, context);
  const then = conditionSql(second, wanted, context);
  if (!canFail(first)) return `(${ends} or ${then})`;
  return `(${ends} or ${conjunction([conditionSql(first, firstIs, context), then])})`;
}

function canFail(condition: Condition): boolean {
  switch (condition.kind) {
    case "constant":
      return condition.provided.length > 0;
    case "present":
      return condition.within !== undefined;
    case "not":
      return canFail(condition.of);
    case "all":
    case "any":
      return canFail(condition.left) || canFail(condition.right);
    case "isIn":
      return mayFail(condition.entity) || mayFail(condition.groups);
    default:
      return true;
  }
}

/** The kit's own schema for the functions that groups need. */
export const FUNCTIONS_SCHEMA = "behalf_policy";

export function membersFunction(group: string): string {
  return `${FUNCTIONS_SCHEMA}.${quotedName(`${group.toLowerCase().replaceAll("::", "_")}_of_caller`)}`;
}

export function belowFunction(group: string): string {
  return `${FUNCTIONS_SCHEMA}.${quotedName(`${group.toLowerCase().replaceAll("::", "_")}_below`)}`;
}

function membershipSql(
  condition: Condition & { readonly kind: "isIn" },
  wanted: boolean,
  context: EmitContext,
): string {
  const { entity, groups, via } = condition;
  const sql = (value: Value) => valueSql(value, context);
  if (groups.type.kind === "set") {
    // One after the other: a constant cannot fail.
    if (groups.kind !== "set" || groups.elements.some(({ kind }) => kind !== "literal")) {
      throw notYet("a set of groups that is no constant");
    }
    const each = groups.elements.map((group) =>
      membershipSql({ ...condition, groups: group }, wanted, context),
    );
    return `(${each.join(wanted ? " or " : " and ")})`;
  }
  const group = sql(groups);
  switch (via.kind) {
    case "nothing":
      return `${sql(entity)} ${wanted ? "=" : "<>"} ${group}`;
    case "membership": {
      const mine = `${membersFunction(via.group)}()`;
      if (groups.kind === "literal") {
        return `(select ${group} ${wanted ? `= any (${mine})` : `<> all (${mine})`})`;
      }
      return wanted
        ? `${group} = any ((select ${mine})::text[])`
        : `(${group} is not null and ${group} <> all ((select ${mine})::text[]))`;
    }
    case "parents":
    case "hierarchy":
    default: {
      if (groups.kind !== "literal" && groups.kind !== "claim") {
        throw notYet("a group that is another one for each row");
      }
      const below = `(select ${belowFunction(via.group)}(${group}))::text[]`;
      const starts = via.kind === "parents" ? via.columns : [entity];
      const isIn = `(${starts.map((start) => `${sql(start)} = any (${below})`).join(" or ")})`;
      if (wanted) return isIn;
      return conjunction([
        ...(groups.kind === "literal" ? [] : [`${group} is not null`]),
        ...(via.kind === "parents" ? [] : [`${sql(entity)} is not null`]),
        `${isIn} is not true`,
      ]);
    }
  }
}

/** SQL that is NULL if and only if Cedar's evaluation of the value fails. */
function valueSql(value: Value, context: EmitContext): string {
  const sql = (each: Value) => valueSql(each, context);
  switch (value.kind) {
    case "literal":
      if (value.type.kind === "string" || value.type.kind === "entity") {
        return `${quotedText(String(value.value))}::text`;
      }
      if (value.type.kind === "long") return `'${String(value.value)}'::int8`;
      throw notYet(`a ${value.type.kind}`);
    case "human":
      return claimSql(context.human.human?.claim ?? ["sub"], { kind: "string" }, []);
    case "row": {
      const key = context.row.table?.key ?? "id";
      return context.columns[key] === "text" ? quotedName(key) : keyAsText(key, context);
    }
    case "column":
      return columnSql(value, context);
    case "claim":
      // With the cast it is an array; without, `= any ((select ...))` would compare with the row of a subquery.
      return `${claimSql(value.claim, value.declared, value.fields)}${value.type.kind === "set" ? "::text[]" : ""}`;
    case "negated":
      return within64Bits(`-(${sql(value.of)}::numeric)`);
    case "arithmetic":
      return within64Bits(
        `(${sql(value.left)}::numeric ${value.operator} ${sql(value.right)}::numeric)`,
      );
    case "choice":
      return `(case when ${conditionSql(value.test, true, context)} then ${sql(value.whenTrue)} when ${conditionSql(value.test, false, context)} then ${sql(value.whenFalse)} end)`;
    case "set": {
      const { element } = value.type;
      if (element.kind !== "string" && element.kind !== "entity") {
        throw notYet(`a set of ${element.kind}`);
      }
      const array = `array[${value.elements.map(sql).join(", ")}]`;
      const missing = value.elements.filter(({ kind }) => kind !== "literal");
      if (missing.length === 0) return array;
      return `(case when ${missing.map((each) => `${sql(each)} is not null`).join(" and ")} then ${array} end)`;
    }
    case "truth":
    default:
      return `(case when ${conditionSql(value.of, true, context)} then true when ${conditionSql(value.of, false, context)} then false end)`;
  }
}

/** numeric does not overflow; int8 would raise, and one row would end every query of its table. */
function within64Bits(number: string): string {
  return `(case when ${number} between -9223372036854775808 and 9223372036854775807 then ${number} end)`;
}

function columnSql(
  { column, type, declared, fields }: Value & { readonly kind: "column" },
  { columns }: EmitContext,
): string {
  const found = columns[column];
  const carriers = CARRIERS[type.kind] ?? [];
  const isOfText =
    type.kind !== "set" || type.element.kind === "string" || type.element.kind === "entity";
  if (found === undefined || !carriers.includes(found) || !isOfText || fields.length > 0) {
    throw notYet(`a ${declared.kind} in the column ${column}, ${found ?? "which is not there"},`);
  }
  return quotedName(column);
}

function keyAsText(key: string, { columns }: EmitContext): string {
  if (["smallint", "integer", "bigint", "uuid"].includes(columns[key] ?? "")) {
    return `${quotedName(key)}::text`;
  }
  throw notYet(`the key ${key}, ${columns[key] ?? "which is not there"},`);
}
