import type { PatternPiece } from "./intermediate.ts";

/** An expression of Cedar's JSON form, read once and typed. */
export type Expression =
  | { readonly kind: "literal"; readonly value: string | number | boolean }
  | { readonly kind: "entity"; readonly type: string; readonly id: string }
  | { readonly kind: "variable"; readonly name: string }
  | { readonly kind: "unary"; readonly operator: UnaryOperator; readonly of: Expression }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: "attribute"; readonly of: Expression; readonly name: string }
  | { readonly kind: "has"; readonly of: Expression; readonly names: readonly string[] }
  | { readonly kind: "like"; readonly of: Expression; readonly pattern: readonly PatternPiece[] }
  | {
      readonly kind: "is";
      readonly of: Expression;
      readonly type: string;
      readonly group: Expression | undefined;
    }
  | {
      readonly kind: "if";
      readonly test: Expression;
      readonly whenTrue: Expression;
      readonly whenFalse: Expression;
    }
  | { readonly kind: "set"; readonly elements: readonly Expression[] }
  | { readonly kind: "record"; readonly fields: ReadonlyMap<string, Expression> }
  /** A function or method of an extension type; the object of a method is its first argument. */
  | { readonly kind: "call"; readonly name: string; readonly args: readonly Expression[] };

const UNARY = ["!", "neg", "isEmpty"] as const;
const BINARY = [
  "&&",
  "||",
  "==",
  "!=",
  "<",
  "<=",
  ">",
  ">=",
  "+",
  "-",
  "*",
  "in",
  "contains",
  "containsAll",
  "containsAny",
  "getTag",
  "hasTag",
] as const;

type UnaryOperator = (typeof UNARY)[number];
type BinaryOperator = (typeof BINARY)[number];

/** Reads an expression as `policyToJson` gives it. */
export function readExpression(json: unknown): Expression {
  const entries = Object.entries(record(json));
  const [key, operand] = entries[0] ?? [];
  if (key === undefined || entries.length !== 1) throw unknownForm(json);
  const unary = UNARY.find((operator) => operator === key);
  if (unary !== undefined) {
    return { kind: "unary", operator: unary, of: readExpression(record(operand)["arg"]) };
  }
  const binary = BINARY.find((operator) => operator === key);
  if (binary !== undefined) {
    const { left, right } = record(operand);
    return {
      kind: "binary",
      operator: binary,
      left: readExpression(left),
      right: readExpression(right),
    };
  }
  switch (key) {
    case "Value":
      return readValue(operand);
    case "Var":
      return { kind: "variable", name: text(operand) };
    case ".": {
      const { left, attr } = record(operand);
      return { kind: "attribute", of: readExpression(left), name: text(attr) };
    }
    case "has": {
      const { left, attr } = record(operand);
      const names = Array.isArray(attr) ? list(attr).map(text) : [text(attr)];
      return { kind: "has", of: readExpression(left), names };
    }
    case "like": {
      const { left, pattern } = record(operand);
      return { kind: "like", of: readExpression(left), pattern: readPattern(list(pattern)) };
    }
    case "is": {
      const { left, entity_type: type, in: group } = record(operand);
      return {
        kind: "is",
        of: readExpression(left),
        type: text(type),
        group: group === undefined ? undefined : readExpression(group),
      };
    }
    case "if-then-else": {
      const { if: test, then: whenTrue, else: whenFalse } = record(operand);
      return {
        kind: "if",
        test: readExpression(test),
        whenTrue: readExpression(whenTrue),
        whenFalse: readExpression(whenFalse),
      };
    }
    case "Set":
      return { kind: "set", elements: list(operand).map(readExpression) };
    case "Record":
      return {
        kind: "record",
        fields: new Map(
          Object.entries(record(operand)).map(([name, field]) => [name, readExpression(field)]),
        ),
      };
    default:
      return { kind: "call", name: key, args: list(operand).map(readExpression) };
  }
}

function readValue(json: unknown): Expression {
  if (typeof json === "string" || typeof json === "boolean" || typeof json === "number") {
    return { kind: "literal", value: json };
  }
  const { type, id } = record(record(json)["__entity"]);
  return { kind: "entity", type: text(type), id: text(id) };
}

/** Cedar gives each stretch between wildcards and escapes apart: neighbours become one. */
function readPattern(elements: readonly unknown[]): readonly PatternPiece[] {
  const pieces: PatternPiece[] = [];
  for (const element of elements) {
    const last = pieces.at(-1);
    if (element === "Wildcard") {
      if (last?.kind !== "wildcard") pieces.push({ kind: "wildcard" });
      continue;
    }
    const letters = text(record(element)["Literal"]);
    if (last?.kind === "literal") {
      pieces[pieces.length - 1] = { kind: "literal", text: last.text + letters };
    } else {
      pieces.push({ kind: "literal", text: letters });
    }
  }
  return pieces;
}

function isRecord(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

function record(json: unknown): Readonly<Record<string, unknown>> {
  if (isRecord(json)) return json;
  throw unknownForm(json);
}

function list(json: unknown): readonly unknown[] {
  if (Array.isArray(json)) return json;
  throw unknownForm(json);
}

function text(json: unknown): string {
  if (typeof json === "string") return json;
  throw unknownForm(json);
}

function unknownForm(json: unknown): TypeError {
  return new TypeError(`Cedar gave an expression of an unknown form: ${JSON.stringify(json)}`);
}
