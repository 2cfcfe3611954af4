import { always } from "./conditions.ts";
import { timeMethod } from "./extension-literals.ts";
import type { Condition, Value } from "./intermediate.ts";
import { Unsupported } from "./unsupported.ts";

const COMPARISONS: Readonly<Record<string, readonly [swaps: boolean, orEqual: boolean]>> = {
  "<": [false, false],
  "<=": [false, true],
  ">": [true, false],
  ">=": [true, true],
  lessThan: [false, false],
  lessThanOrEqual: [false, true],
  greaterThan: [true, false],
  greaterThanOrEqual: [true, true],
};

/** A comparison by its operator, or by its method of decimal. */
export function lowerComparison(name: string, first: Value, second: Value): Condition | undefined {
  const comparison = COMPARISONS[name];
  if (comparison === undefined) return undefined;
  const [swaps, orEqual] = comparison;
  const [left, right] = swaps ? [second, first] : [first, second];
  if (left.kind === "literal" && right.kind === "literal" && left.type.kind === "duration") {
    return always(left.value < right.value || (orEqual && left.value === right.value));
  }
  return { kind: "less", left, right, orEqual };
}

const IP_PROPERTIES: Readonly<Record<string, "ipv4" | "ipv6" | "loopback" | "multicast">> = {
  isIpv4: "ipv4",
  isIpv6: "ipv6",
  isLoopback: "loopback",
  isMulticast: "multicast",
};

/** A method of decimal, datetime, duration or ipaddr. */
export function lowerMethod(
  name: string,
  self: Value,
  argument: Value | undefined,
): { readonly condition: Condition } | { readonly value: Value } {
  if (argument !== undefined) {
    const comparison = lowerComparison(name, self, argument);
    if (comparison !== undefined) return { condition: comparison };
    if (name === "isInRange") return { condition: { kind: "inRange", ip: self, range: argument } };
  }
  const property = IP_PROPERTIES[name];
  if (property !== undefined) return { condition: { kind: "ipIs", ip: self, property } };
  if (self.kind === "literal" && (argument === undefined || argument.kind === "literal")) {
    const folded = timeMethod(name, self, argument);
    if (folded !== undefined) return { value: folded };
  }
  throw new Unsupported(
    `${name}() of a value of the row or the token`,
    name === "offset" || name === "durationSince"
      ? "compare the value itself with a constant that is moved instead: resource.at > datetime(...).offset(...)"
      : "compare the value itself with constants: resource.at >= datetime(...) && resource.at < datetime(...)",
    name,
  );
}
