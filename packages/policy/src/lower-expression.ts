import type { Expression } from "./cedar-expression.ts";
import {
  both,
  always,
  either,
  equivalent,
  isAlways,
  isNever,
  not,
  provided,
} from "./conditions.ts";
import type { Environment } from "./environment.ts";
import { extensionLiteral } from "./extension-literals.ts";
import type { Condition, Literal, Value } from "./intermediate.ts";
import { lowerAttribute, lowerHas, type Origin } from "./lower-attribute.ts";
import { lowerComparison, lowerMethod } from "./lower-extension.ts";
import { lowerIn, lowerIs } from "./lower-membership.ts";
import { typeText } from "./policy-schema.ts";
import { unvalidated, Unsupported } from "./unsupported.ts";

/** A Cedar expression with a type of Bool is a condition, every other one a value. */
type Lowered = { readonly condition: Condition } | { readonly value: Value };

/** What a Cedar expression means in one environment. */
export function lowerCondition(expression: Expression, environment: Environment): Condition {
  return asCondition(lower(expression, environment));
}

function asCondition(lowered: Lowered): Condition {
  if ("condition" in lowered) return lowered.condition;
  const { value } = lowered;
  if (value.kind === "truth") return value.of;
  if (value.type.kind !== "bool") throw unvalidated(`a ${typeText(value.type)} as a condition`);
  return { kind: "flag", value };
}

function asValue(lowered: Lowered): Value {
  if ("value" in lowered) return lowered.value;
  const { condition } = lowered;
  return condition.kind === "flag"
    ? condition.value
    : { kind: "truth", type: { kind: "bool" }, of: condition };
}

function lower(expression: Expression, environment: Environment): Lowered {
  const value = (each: Expression) => asValue(lower(each, environment));
  switch (expression.kind) {
    case "literal":
      return literal(expression.value);
    case "entity":
      return { value: entityLiteral(expression.type, expression.id) };
    case "variable":
      return { value: variable(expression.name, environment) };
    case "unary":
      return unary(expression, environment);
    case "binary":
      return binary(expression, environment);
    case "if":
      return choice(expression, environment);
    case "attribute": {
      const { of, name } = expression;
      if (of.kind === "record") return recordField(of, name, environment);
      return { value: lowerAttribute(origin(of, environment), name, environment) };
    }
    case "has": {
      const { of, names } = expression;
      return { condition: lowerHas(origin(of, environment), names, environment) };
    }
    case "is": {
      const { of, type, group } = expression;
      const groups = group === undefined ? undefined : () => value(group);
      return { condition: lowerIs(value(of), type, groups, environment) };
    }
    case "like": {
      const { of, pattern } = expression;
      return { condition: { kind: "matches", value: value(of), pattern } };
    }
    case "set":
      return { value: setOf(expression.elements.map(value)) };
    case "record":
      throw new Unsupported(
        "a record is compared or handed on as a whole",
        "compare its attributes one by one",
        "{",
      );
    case "call":
    default:
      return call(expression, environment);
  }
}

type Of<K extends Expression["kind"]> = Expression & { readonly kind: K };

function literal(value: string | number | boolean): Lowered {
  if (typeof value === "boolean") return { condition: always(value) };
  return {
    value:
      typeof value === "number"
        ? { kind: "literal", type: { kind: "long" }, value }
        : { kind: "literal", type: { kind: "string" }, value },
  };
}

export function entityLiteral(type: string, id: string): Literal {
  return { kind: "literal", type: { kind: "entity", name: type }, value: id };
}

function variable(name: string, { human, row, action }: Environment): Value {
  switch (name) {
    case "principal":
      return { kind: "human", type: { kind: "entity", name: human.name } };
    case "resource":
      return { kind: "row", type: { kind: "entity", name: row.name } };
    case "action":
      return entityLiteral(action.type, action.id);
    default:
      throw new Unsupported(
        "the context is compared or handed on as a whole",
        "compare its attributes one by one",
        name,
      );
  }
}

/** The variables have attributes of their own; everything else is a value first. */
function origin(of: Expression, environment: Environment): Origin {
  if (of.kind === "variable") {
    const { name } = of;
    if (name === "principal" || name === "resource" || name === "context") {
      return { variable: name };
    }
  }
  return { value: asValue(lower(of, environment)) };
}

function unary({ operator, of }: Of<"unary">, environment: Environment): Lowered {
  const operand = lower(of, environment);
  switch (operator) {
    case "!":
      return { condition: not(asCondition(operand)) };
    case "neg":
      return { value: { kind: "negated", type: { kind: "long" }, of: asValue(operand) } };
    case "isEmpty":
    default:
      return { condition: { kind: "isEmpty", set: asValue(operand) } };
  }
}

function binary({ operator, left, right }: Of<"binary">, environment: Environment): Lowered {
  const condition = (each: Expression) => lowerCondition(each, environment);
  const value = (each: Expression) => asValue(lower(each, environment));
  switch (operator) {
    case "&&":
      return { condition: both(condition(left), () => condition(right)) };
    case "||":
      return { condition: either(condition(left), () => condition(right)) };
    case "==":
      return { condition: equal(lower(left, environment), lower(right, environment)) };
    case "!=":
      return { condition: not(equal(lower(left, environment), lower(right, environment))) };
    case "+":
    case "-":
    case "*":
      return {
        value: {
          kind: "arithmetic",
          type: { kind: "long" },
          operator,
          left: value(left),
          right: value(right),
        },
      };
    case "in":
      return { condition: lowerIn(value(left), value(right), environment) };
    case "contains":
      return { condition: contains(value(left), value(right)) };
    case "containsAll":
      return { condition: { kind: "containsAll", set: value(left), all: value(right) } };
    case "containsAny":
      return { condition: { kind: "containsAny", set: value(left), any: value(right) } };
    case "getTag":
    case "hasTag":
      throw new Unsupported(
        `${operator} reads a tag, and no column carries tags`,
        "declare the tag as an optional attribute of the entity type",
        operator,
      );
    default: {
      const comparison = lowerComparison(operator, value(left), value(right));
      if (comparison === undefined) throw unvalidated(`the operator ${operator}`);
      return { condition: comparison };
    }
  }
}

function choice({ test: of, whenTrue, whenFalse }: Of<"if">, environment: Environment): Lowered {
  const test = lowerCondition(of, environment);
  if (isAlways(test, true)) return lower(whenTrue, environment);
  if (isAlways(test, false)) return lower(whenFalse, environment);
  // A test may fail and still never be true: that branch is never evaluated, and may have no meaning here.
  const first = lower(isNever(test, true) ? whenFalse : whenTrue, environment);
  const second =
    isNever(test, true) || isNever(test, false) ? first : lower(whenFalse, environment);
  if ("condition" in first || "condition" in second || first.value.type.kind === "bool") {
    return {
      condition: {
        kind: "choice",
        test,
        whenTrue: asCondition(first),
        whenFalse: asCondition(second),
      },
    };
  }
  const { type } = first.value;
  if (type.kind === "record") {
    throw new Unsupported(
      "if chooses between two records",
      "write the if around the comparison instead",
      "if",
    );
  }
  return {
    value: { kind: "choice", type, test, whenTrue: first.value, whenFalse: second.value },
  };
}

function equal(a: Lowered, b: Lowered): Condition {
  if ("condition" in a || "condition" in b || a.value.type.kind === "bool") {
    return equivalent(asCondition(a), asCondition(b));
  }
  const [left, right] = [a.value, b.value];
  if (left.type.kind === "entity" && right.type.kind === "entity") {
    if (left.type.name !== right.type.name) return provided(false, left, right);
    if (left.kind === right.kind && (left.kind === "human" || left.kind === "row")) {
      return always(true);
    }
  }
  // Two spellings of one address are equal, so those are left to who knows addresses.
  if (left.kind === "literal" && right.kind === "literal" && left.type.kind !== "ip") {
    return always(left.value === right.value);
  }
  if (left.type.kind === "record") {
    throw new Unsupported(
      "two records are compared as a whole",
      "compare their attributes one by one",
    );
  }
  if (left.type.kind === "set") return { kind: "setEqual", left, right };
  return { kind: "equal", left, right };
}

function setOf(elements: readonly Value[]): Value {
  const element = elements[0]?.type;
  if (element === undefined) {
    throw new Unsupported("an empty set has no type", "ask isEmpty() instead", "[");
  }
  if (element.kind === "set" || element.kind === "record") {
    throw new Unsupported(
      `a set of ${typeText(element)} is no array of any backend`,
      "ask for each of its elements apart",
      "[",
    );
  }
  return { kind: "set", type: { kind: "set", element }, elements };
}

function contains(set: Value, element: Value): Condition {
  if (set.type.kind !== "set") throw unvalidated("contains of what is no set");
  const { element: of } = set.type;
  if (of.kind === "entity" && element.type.kind === "entity" && of.name !== element.type.name) {
    return provided(false, set, element);
  }
  return { kind: "contains", set, element };
}

/** `{ a: 1 }.a`: the whole record is evaluated, so its other attributes must be unable to fail. */
function recordField({ fields }: Of<"record">, name: string, environment: Environment): Lowered {
  const chosen = fields.get(name);
  if (chosen === undefined) throw unvalidated(`an attribute ${name} that the record has not`);
  for (const [other, field] of fields) {
    if (other !== name && field.kind !== "literal" && field.kind !== "entity") {
      throw new Unsupported(
        `.${name} is read from a record whose attribute ${other} has to be evaluated, too`,
        "write the value in its place",
        name,
      );
    }
  }
  return lower(chosen, environment);
}

const CONSTRUCTORS: Readonly<Record<string, string>> = {
  ip: "ipaddr",
  decimal: "decimal",
  datetime: "datetime",
  duration: "duration",
};

function call({ name, args }: Of<"call">, environment: Environment): Lowered {
  const [self, argument] = args;
  if (self === undefined) throw unvalidated(`${name} of nothing`);
  const type = CONSTRUCTORS[name];
  if (type === undefined) {
    const value = (each: Expression) => asValue(lower(each, environment));
    return lowerMethod(name, value(self), argument === undefined ? undefined : value(argument));
  }
  const text = self.kind === "literal" ? self.value : undefined;
  const constant = typeof text === "string" ? extensionLiteral(name, text) : undefined;
  if (constant !== undefined) return { value: constant };
  throw new Unsupported(
    `${name}() of something that is no constant`,
    `declare the attribute as ${type} in the schema`,
    name,
  );
}
