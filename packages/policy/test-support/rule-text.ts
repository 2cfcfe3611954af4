import { type Condition, type Rule, type Value } from "../src/index.ts";

/** A rule of the intermediate form for people and golden files. */
export function ruleText(rule: Rule): string {
  const { nativeName, effect, verb, humanType, rowType, position } = rule;
  return `${nativeName}: ${effect} ${humanType} ${verb} ${rowType} (${position.file}:${position.line}:${position.column})\n${text(rule.condition, 1)}`;
}

function text(condition: Condition, depth: number): string {
  const indent = "  ".repeat(depth);
  const nested = (name: string, ...parts: readonly Condition[]) =>
    `${indent}${name}\n${parts.map((part) => text(part, depth + 1)).join("\n")}`;
  switch (condition.kind) {
    case "constant":
      return `${indent}${condition.value}${condition.provided.map((each) => ` if there is ${valueText(each)}`).join("")}`;
    case "all":
    case "any":
    case "equivalent":
      return nested(condition.kind, condition.left, condition.right);
    case "not":
      return nested("not", condition.of);
    case "choice":
      return nested("choice", condition.test, condition.whenTrue, condition.whenFalse);
    case "flag":
      return `${indent}flag ${valueText(condition.value)}`;
    case "present":
      return `${indent}present ${valueText(condition.value)}${condition.within === undefined ? "" : ` within ${valueText(condition.within)}`}`;
    case "matches":
      return `${indent}matches ${valueText(condition.value)} ${condition.pattern.map((piece) => (piece.kind === "wildcard" ? "*" : JSON.stringify(piece.text))).join(" ")}`;
    case "isIn": {
      const { entity, groups, via } = condition;
      const way =
        via.kind === "nothing"
          ? ""
          : via.kind === "parents"
            ? ` by ${via.columns.map(valueText).join(", ")} and the ${via.group}s above`
            : ` by ${via.kind} of ${via.group}`;
      return `${indent}isIn ${valueText(entity)} ${valueText(groups)}${way}`;
    }
    default: {
      const { kind, ...parts } = condition;
      const values = Object.values(parts).map((part: Value | string | boolean) =>
        typeof part === "object" ? valueText(part) : String(part),
      );
      return `${indent}${kind} ${values.join(" ")}`;
    }
  }
}

function valueText(value: Value): string {
  switch (value.kind) {
    case "literal":
      return value.type.kind === "entity"
        ? `${value.type.name}::${JSON.stringify(value.value)}`
        : JSON.stringify(value.value);
    case "human":
    case "row":
      return value.kind;
    case "column":
      return `column(${[value.column, ...value.fields].join(".")}: ${value.type.kind})`;
    case "claim":
      return `claim(/${value.claim.join("/")}${value.fields.map((field) => `.${field}`).join("")}: ${value.type.kind})`;
    case "arithmetic":
      return `(${valueText(value.left)} ${value.operator} ${valueText(value.right)})`;
    case "negated":
      return `-${valueText(value.of)}`;
    case "set":
      return `[${value.elements.map(valueText).join(", ")}]`;
    default:
      return value.kind;
  }
}
