import type { Condition, Value } from "./intermediate.ts";

export const always = (value: boolean): Condition => ({ kind: "constant", value, provided: [] });

/** Whether the condition is this, whatever the row and the token are. */
export function isAlways(condition: Condition, value: boolean): boolean {
  return (
    condition.kind === "constant" && condition.value === value && condition.provided.length === 0
  );
}

/**
 * Whether the condition can never be this, by its form alone. As in Cedar's validator, what stands behind such a
 * condition is not looked at: it may name attributes that this table has not.
 */
export function isNever(condition: Condition, value: boolean): boolean {
  switch (condition.kind) {
    case "constant":
      return condition.value !== value;
    case "all":
      return value
        ? isNever(condition.left, true) || isNever(condition.right, true)
        : isNever(condition.left, false) && isNever(condition.right, false);
    case "any":
      return value
        ? isNever(condition.left, true) && isNever(condition.right, true)
        : isNever(condition.left, false) || isNever(condition.right, false);
    case "not":
      return isNever(condition.of, !value);
    case "choice":
      return isNever(condition.whenTrue, value) && isNever(condition.whenFalse, value);
    default:
      return false;
  }
}

export function not(of: Condition): Condition {
  if (of.kind === "not") return of.of;
  if (of.kind === "constant") return { ...of, value: !of.value };
  return { kind: "not", of };
}

/** The right side is not even read where it cannot count: it may have no meaning in this environment. */
export function both(left: Condition, right: () => Condition): Condition {
  if (isNever(left, true)) return left;
  if (isAlways(left, true)) return right();
  const second = right();
  return isAlways(second, true) ? left : { kind: "all", left, right: second };
}

export function either(left: Condition, right: () => Condition): Condition {
  if (isNever(left, false)) return left;
  if (isAlways(left, false)) return right();
  const second = right();
  return isAlways(second, false) ? left : { kind: "any", left, right: second };
}

export function equivalent(left: Condition, right: Condition): Condition {
  if (isAlways(left, true)) return right;
  if (isAlways(right, true)) return left;
  if (isAlways(left, false)) return not(right);
  if (isAlways(right, false)) return not(left);
  return { kind: "equivalent", left, right };
}

/** True or false, but only where these are there. */
export function provided(value: boolean, ...values: readonly Value[]): Condition {
  return { kind: "constant", value, provided: values.filter(mayFail) };
}

/** Whether Cedar's evaluation of the value may fail. */
export function mayFail(value: Value): boolean {
  switch (value.kind) {
    case "literal":
    case "human":
    case "row":
      return false;
    case "set":
      return value.elements.some(mayFail);
    default:
      return true;
  }
}
