import type { Condition, Rule, Value } from "../src/index.ts";

type Node = Condition | Value;
export type Alteration = (node: Node) => Node;

/** The rule with every node of its condition passed through `alter`, from the leaves upwards. */
export function alteredRule(rule: Rule, alter: Alteration): Rule {
  return { ...rule, condition: altered(rule.condition, alter) as Condition };
}

function altered(value: unknown, alter: Alteration): unknown {
  if (Array.isArray(value)) return value.map((each) => altered(each, alter));
  if (typeof value !== "object" || value === null || value instanceof Map) return value;
  const copy = Object.fromEntries(
    Object.entries(value).map(([name, part]) => [name, altered(part, alter)]),
  );
  return "kind" in copy ? alter(copy as unknown as Node) : copy;
}

/** What a lowering could get wrong; the random policies and scenes must tell each of them. */
export const ALTERATIONS: Readonly<Record<string, Alteration>> = {
  "&& in the other order": (node) =>
    node.kind === "all" ? { ...node, left: node.right, right: node.left } : node,
  "|| in the other order": (node) =>
    node.kind === "any" ? { ...node, left: node.right, right: node.left } : node,
  "no negation": (node) => (node.kind === "not" ? node.of : node),
  "the branches of if": (node) =>
    node.kind === "choice"
      ? ({ ...node, whenTrue: node.whenFalse, whenFalse: node.whenTrue } as Node)
      : node,
  "entities of two types, always there": (node) =>
    node.kind === "constant" ? { ...node, provided: [] } : node,
  "has of a record that is missing": (node) =>
    node.kind === "present" ? { ...node, within: undefined } : node,
  "< for <=": (node) => (node.kind === "less" ? { ...node, orEqual: false } : node),
  "<= for <": (node) => (node.kind === "less" ? { ...node, orEqual: true } : node),
  "+ for -": (node) =>
    node.kind === "arithmetic" && node.operator === "-" ? { ...node, operator: "+" } : node,
  "+ for *": (node) =>
    node.kind === "arithmetic" && node.operator === "*" ? { ...node, operator: "+" } : node,
  "no sign": (node) => (node.kind === "negated" ? node.of : node),
  "like without wildcards": (node) =>
    node.kind === "matches"
      ? { ...node, pattern: node.pattern.filter(({ kind }) => kind === "literal") }
      : node,
  "all for any": (node) =>
    node.kind === "containsAny" ? { kind: "containsAll", set: node.set, all: node.any } : node,
  "the sets of containsAll": (node) =>
    node.kind === "containsAll" ? { ...node, set: node.all, all: node.set } : node,
  "half of a set's equality": (node) =>
    node.kind === "setEqual" ? { kind: "containsAll", set: node.left, all: node.right } : node,
  "the other way round in a range": (node) =>
    node.kind === "inRange" ? { ...node, ip: node.range, range: node.ip } : node,
  "loopback for multicast": (node) =>
    node.kind === "ipIs" && node.property === "multicast"
      ? { ...node, property: "loopback" }
      : node,
  "the human's groups": (node) =>
    node.kind === "isIn" && node.via.kind === "membership"
      ? { ...node, via: { kind: "nothing" } }
      : node,
  "the second parent of a row": (node) =>
    node.kind === "isIn" && node.via.kind === "parents"
      ? { ...node, via: { ...node.via, columns: node.via.columns.slice(0, 1) } }
      : node,
  "groups above a group": (node) =>
    node.kind === "isIn" && node.via.kind === "hierarchy"
      ? { ...node, via: { kind: "nothing" } }
      : node,
  "a record's required fields": (node) =>
    node.kind === "claim" && node.declared.kind === "record"
      ? {
          ...node,
          declared: {
            kind: "record",
            fields: new Map(
              [...node.declared.fields].map(([name, field]) => [
                name,
                { ...field, isOptional: true },
              ]),
            ),
          },
        }
      : node,
  "equality of conditions as and": (node) =>
    node.kind === "equivalent" ? { kind: "all", left: node.left, right: node.right } : node,
  "a set without one of its elements": (node) =>
    node.kind === "set" && "elements" in node
      ? { ...node, elements: node.elements.slice(1) }
      : node,
};
