import type {
  PolicyJson,
  PrincipalConstraint,
  ResourceConstraint,
} from "@cedar-policy/cedar-wasm/nodejs";

import { readExpression } from "./cedar-expression.ts";
import { cedarTokens } from "./cedar-tokens.ts";
import { both, always, isNever, not } from "./conditions.ts";
import type { Environment } from "./environment.ts";
import type { Condition, Rule, Value } from "./intermediate.ts";
import { entityLiteral, lowerCondition } from "./lower-expression.ts";
import { lowerIn } from "./lower-membership.ts";
import type { ParsedPolicies } from "./parse-policies.ts";
import { nativeName } from "./policy-ids.ts";
import { entityText, type PolicySchema } from "./policy-schema.ts";
import { PolicyError, type PolicyProblem, problemAt } from "./problems.ts";
import type { ParsedPolicy } from "./read-policies.ts";
import { positionAt } from "./source-text.ts";
import { Unsupported } from "./unsupported.ts";

/** The policies in the intermediate form. */
export interface LoweredPolicies {
  /** One for each policy, verb and table that it can apply to, in the order of the policies. */
  readonly rules: readonly Rule[];
  /** The ids of policies that only the application asks: each of their actions has `@verb("none")`. */
  readonly applicationOnly: readonly string[];
}

/**
 * Brings parsed policies into the intermediate form: typed, without anything of a backend's language.
 *
 * @throws {PolicyError} if a policy says something that no native policy can carry, with the reason and the
 * nearest thing that can be. There is no partial result, and nothing is ever widened.
 */
export function lowerPolicies(parsed: ParsedPolicies): LoweredPolicies {
  const rules: Rule[] = [];
  const applicationOnly: string[] = [];
  const problems: PolicyProblem[] = [];
  for (const policy of parsed.policies) {
    try {
      const found = lowerPolicy(policy, parsed.schema);
      rules.push(...found);
      if (found.length === 0) applicationOnly.push(policy.id);
    } catch (error) {
      if (!(error instanceof Unsupported)) throw error;
      problems.push(unsupportedProblem(policy, error));
    }
  }
  if (problems.length > 0) throw new PolicyError(problems);
  return { rules, applicationOnly };
}

function unsupportedProblem(policy: ParsedPolicy, error: Unsupported): PolicyProblem {
  const { source, place, text, id } = policy;
  // Cedar's JSON has no places: the first such word of the policy is the best that can be shown.
  const token = cedarTokens(text).find((each) => each.text === error.near);
  return problemAt(
    source,
    {
      start: place.start + (token?.start ?? 0),
      end: token === undefined ? place.end : place.start + token.end,
    },
    { code: "unsupported", message: error.message, help: error.help, policyId: id },
  );
}

/** Every verb and table that the policy can apply to. */
export function lowerPolicy(policy: ParsedPolicy, schema: PolicySchema): readonly Rule[] {
  const { id, json, source, place } = policy;
  const rules: Rule[] = [];
  for (const action of schema.actions) {
    if (action.verb === undefined || !actionFits(json, action.isIn, action.name)) continue;
    for (const humanType of action.principalTypes) {
      for (const rowType of action.resourceTypes) {
        const human = schema.entities.get(humanType);
        const row = schema.entities.get(rowType);
        if (human === undefined || row === undefined) continue;
        const condition = policyCondition(json, { schema, human, row, action });
        if (isNever(condition, true)) continue;
        rules.push({
          id,
          nativeName: nativeName(id, action.verb),
          effect: json.effect,
          verb: action.verb,
          humanType,
          rowType,
          action: action.name,
          condition,
          position: positionAt(source, place.start, place.end),
        });
      }
    }
  }
  return rules;
}

type ActionConstraint = PolicyJson["action"];

function actionFits({ action }: PolicyJson, isIn: ReadonlySet<string>, name: string): boolean {
  const constraint: ActionConstraint = action;
  if (constraint.op === "All") return true;
  if (constraint.op === "==") return "entity" in constraint && uid(constraint.entity) === name;
  const groups = "entities" in constraint ? constraint.entities : [constraint.entity];
  return groups.some((group) => isIn.has(uid(group)));
}

type EntityJson =
  Extract<PrincipalConstraint, { op: "in" }> extends infer C
    ? C extends { entity: infer E }
      ? E
      : never
    : never;

function typeAndId(entity: EntityJson): { readonly type: string; readonly id: string } {
  return "__entity" in entity ? entity["__entity"] : entity;
}

function uid(entity: EntityJson): string {
  const { type, id } = typeAndId(entity);
  return entityText(type, id);
}

function policyCondition(json: PolicyJson, environment: Environment): Condition {
  const { human, row } = environment;
  const parts = [
    () =>
      scope(
        json.principal,
        { kind: "human", type: { kind: "entity", name: human.name } },
        environment,
      ),
    () =>
      scope(json.resource, { kind: "row", type: { kind: "entity", name: row.name } }, environment),
    ...json.conditions.map(({ kind, body }) => () => {
      const condition = lowerCondition(readExpression(body), environment);
      return kind === "when" ? condition : not(condition);
    }),
  ];
  return parts.reduce<Condition>((left, right) => both(left, right), always(true));
}

function scope(
  constraint: PrincipalConstraint | ResourceConstraint,
  entity: Value & { readonly kind: "human" | "row" },
  environment: Environment,
): Condition {
  const within = (group: EntityJson) => {
    const { type, id } = typeAndId(group);
    return lowerIn(entity, entityLiteral(type, id), environment);
  };
  switch (constraint.op) {
    case "All":
      return always(true);
    case "==": {
      if (!("entity" in constraint)) break;
      const { type, id } = typeAndId(constraint.entity);
      return type === entity.type.name
        ? { kind: "equal", left: entity, right: entityLiteral(type, id) }
        : always(false);
    }
    case "in":
      if (!("entity" in constraint)) break;
      return within(constraint.entity);
    case "is": {
      if (constraint.entity_type !== entity.type.name) return always(false);
      if (constraint.in === undefined) return always(true);
      if (!("entity" in constraint.in)) break;
      return within(constraint.in.entity);
    }
    default:
  }
  throw new Unsupported(
    "a policy with slots is no policy yet",
    "write one policy for each link, with the entity in the place of the slot",
  );
}
