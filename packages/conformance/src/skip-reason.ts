import type { BoundWay, HarnessFacts } from "./bound-harness.ts";
import type { ConformanceCase } from "./conformance-case.ts";

/** Why a case is not run in this way, for the report; `null` when it is. */
export function skipReason(
  one: ConformanceCase,
  harness: HarnessFacts,
  way: BoundWay,
): string | null {
  const { capability, needs = [] } = one;
  const capabilities = new Set<string>(capability === null ? [] : [capability]);
  if (needs.includes("change")) capabilities.add("writes");
  if (needs.includes("wider")) capabilities.add("taskScope");
  for (const name of capabilities) {
    const declared = harness.capabilities[name];
    if (declared === undefined) return `the adapter does not declare ${name}`;
    if (declared.grade === "refused") return `the adapter refuses ${name}`;
  }
  for (const name of needs) {
    if (way.lacks.includes(name)) return `${way.name} has no ${name}`;
    if (name === "change" || name === "wider" || name === "whoAmI") continue;
    if (harness.probes?.includes(name) !== true)
      return `the harness has no ${name} in its \`probes\``;
  }
  return one.skipped?.(harness) ?? null;
}
