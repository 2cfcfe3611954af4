import type { CedarEngine } from "./cedar-engine.ts";
import { type PolicyProblem, problemAt } from "./problems.ts";
import { cedarProblem, type ParsedPolicy } from "./read-policies.ts";
import type { SourceText } from "./source-text.ts";

/** Cedar's strict validator, and what it only warns of. */
export function validatePolicies(
  engine: CedarEngine,
  schema: SourceText,
  policies: readonly ParsedPolicy[],
): readonly PolicyProblem[] {
  // By number: ids may be used twice, and then both are to be looked at.
  const answer = engine.validate(
    schema.text,
    Object.fromEntries(policies.map(({ text }, index) => [String(index), text])),
  );
  const atSchema = (message: string) =>
    problemAt(schema, { start: 0, end: 0 }, { code: "schema", message });
  if (!answer.ok) return answer.errors.map(({ message }) => atSchema(message));
  const { errors, warnings, others } = answer.value;
  const problems = others.map(({ message }) => atSchema(message));
  const refused = new Set(errors.map(({ policyId }) => policyId));
  for (const { policyId, error } of [...errors, ...warnings]) {
    const policy = policies[Number(policyId)];
    if (policy === undefined) {
      problems.push(atSchema(error.message));
      continue;
    }
    const isWarning = error.severity === "warning";
    const isImpossible = isWarning && error.message.includes("policy is impossible");
    const isWithoutAction =
      isWarning && error.message.includes("unable to find an applicable action");
    // Follows from the errors of the same policy.
    if (refused.has(policyId) && (isImpossible || isWithoutAction)) continue;
    const code =
      isImpossible || isWithoutAction ? "impossible" : isWarning ? "warning" : "validation";
    const problem = cedarProblem(policy.source, policy.place.start, error, {
      code,
      policyId: policy.id,
    });
    problems.push(
      code === "impossible" && problem.help === undefined
        ? { ...problem, help: impossibleHelp(policy.json.effect) }
        : problem,
    );
  }
  return problems;
}

function impossibleHelp(effect: "permit" | "forbid"): string {
  return effect === "forbid"
    ? "as it stands, it forbids nothing; take it away or repair its condition"
    : "as it stands, it permits nothing; take it away or repair its condition";
}
