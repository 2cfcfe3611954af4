import type { Verb } from "./policy-schema.ts";
import { type PolicyProblem, problemAt } from "./problems.ts";
import type { ParsedPolicy } from "./read-policies.ts";

/** PostgreSQL cuts longer names, in silence: two of them could become one. */
const NAME_BYTES = 63;

/** In front of every native name, so that no id can take the name of a guard or of a policy written by hand. */
const PREFIX = "cedar_";

const LONGEST_VERB = "_delete".length;

/** The native name of what a policy becomes for one verb. Only `a-z`, `0-9` and `_` are the same everywhere. */
export function nativeName(id: string, verb: Verb): string {
  return `${PREFIX}${folded(id)}_${verb}`;
}

function folded(id: string): string {
  return id.toLowerCase().replaceAll(/[^a-z0-9_]/g, "_");
}

/** Ids that cannot be native names, or would be the same one. */
export function idProblems(policies: readonly ParsedPolicy[]): readonly PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  const seen = new Map<string, ParsedPolicy>();
  for (const policy of policies) {
    const { id, source, place, text } = policy;
    const at = text.indexOf("@id");
    const where = { start: place.start + Math.max(at, 0), end: place.start + at + 3 };
    const report = (message: string, help: string) => {
      problems.push(problemAt(source, where, { code: "id", message, help, policyId: id }));
    };
    const bytes = Buffer.byteLength(PREFIX + folded(id)) + LONGEST_VERB;
    if (bytes > NAME_BYTES) {
      report(
        `with its prefix and its verb this id has ${bytes} bytes, and PostgreSQL cuts names at ${NAME_BYTES}`,
        `shorten it by ${bytes - NAME_BYTES}`,
      );
    }
    const other = seen.get(folded(id));
    if (other !== undefined) {
      const line = other.source.text.slice(0, other.place.start).split("\n").length;
      const where2 = `${other.source.file}:${line}`;
      report(
        other.id === id
          ? `this id is used already, in ${where2}`
          : `as a native name this id is the same as ${JSON.stringify(other.id)} in ${where2}: both are ${PREFIX}${folded(id)}`,
        "give one of them another id",
      );
    }
    seen.set(folded(id), other ?? policy);
  }
  return problems;
}
