import { always, provided } from "./conditions.ts";
import type { Environment } from "./environment.ts";
import type { ClaimValue, ColumnValue, Condition, Value } from "./intermediate.ts";
import { typeText } from "./policy-schema.ts";
import { unvalidated, Unsupported } from "./unsupported.ts";

/** What attributes are read from: one of the three variables, or a value. */
export type Origin =
  | { readonly variable: "principal" | "resource" | "context" }
  | { readonly value: Value };

/** `undefined`: the schema has no such attribute here. */
type Found = ColumnValue | ClaimValue | undefined;

/** `origin.name` */
export function lowerAttribute(origin: Origin, name: string, environment: Environment): Value {
  const found = read(origin, name, environment);
  if (found === undefined) throw unvalidated(`an attribute ${name} that the schema has not`);
  return found;
}

/** `origin has first.second` */
export function lowerHas(
  origin: Origin,
  names: readonly string[],
  environment: Environment,
): Condition {
  const [first = "", ...more] = names;
  let found = read(origin, first, environment);
  for (const name of more) {
    if (found !== undefined) found = readField(found, name);
  }
  const within = "value" in origin ? origin.value : undefined;
  if (found !== undefined) return { kind: "present", value: found, within };
  return within === undefined ? always(false) : provided(false, within);
}

function read(origin: Origin, name: string, { human, row, action }: Environment): Found {
  if ("value" in origin) return readField(origin.value, name);
  if (origin.variable === "resource") {
    const found = row.attributes.get(name);
    if (found === undefined) return undefined;
    const { type, column = name } = found;
    return { kind: "column", type, column, declared: type, fields: [] };
  }
  const found =
    origin.variable === "principal" ? human.attributes.get(name) : action.context.get(name);
  if (found === undefined) return undefined;
  const { type, claim = [name] } = found;
  return { kind: "claim", type, claim, declared: type, fields: [] };
}

function readField(value: Value, name: string): Found {
  if (value.type.kind === "entity") throw otherEntity(value, name);
  if (value.type.kind !== "record" || (value.kind !== "column" && value.kind !== "claim")) {
    throw unvalidated(`an attribute of a ${typeText(value.type)}`);
  }
  const field = value.type.fields.get(name);
  if (field === undefined) return undefined;
  return { ...value, type: field.type, fields: [...value.fields, name] };
}

function otherEntity(value: Value, name: string): Unsupported {
  const type = typeText(value.type);
  const helps: Partial<Record<Value["kind"], string>> = {
    column: `let the row have a column with that attribute, or make a group of the ${type}s that have it and write in`,
    literal: "it is the same for every row: write what it is",
  };
  return new Unsupported(
    `.${name} is an attribute of another entity, a ${type}, which would be looked up for every row`,
    helps[value.kind] ?? "let the token have a claim with that attribute",
    name,
  );
}
