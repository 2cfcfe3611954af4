import { BehalfError } from "@behalf/core";

import { positionAt, type SourcePosition, type SourceText } from "./source-text.ts";

/**
 * What kind of problem a policy source has.
 *
 * | code | meaning |
 * | --- | --- |
 * | `syntax` | Cedar cannot parse the text |
 * | `schema` | the schema is wrong by Cedar's rules |
 * | `mapping` | an annotation of the schema is unknown, misplaced, or does not fit its type |
 * | `validation` | Cedar's strict validator refuses a policy |
 * | `warning` | Cedar only warns of it, and the policy would not do what it says |
 * | `impossible` | the policy can never apply: a forbid of this kind forbids nothing |
 * | `integer` | a number beyond 2^53, which would be rounded in silence |
 * | `id` | an id is missing, used twice, too long, or the same as another once it is a native name |
 * | `template` | a policy with slots |
 * | `unsupported` | Cedar understands it, and no native policy can carry it |
 */
export type PolicyProblemCode =
  | "syntax"
  | "schema"
  | "mapping"
  | "validation"
  | "warning"
  | "impossible"
  | "integer"
  | "id"
  | "template"
  | "unsupported";

/** One thing that is wrong in a policy source. All of them are errors: there are no warnings. */
export interface PolicyProblem {
  readonly code: PolicyProblemCode;
  readonly message: string;
  /** What to do, or the nearest thing that can be expressed. */
  readonly help: string | undefined;
  /** The `@id` of the policy, where it is known. */
  readonly policyId: string | undefined;
  readonly position: SourcePosition;
}

/** A problem at a place, given as UTF-16 indexes. */
export function problemAt(
  source: SourceText,
  place: { readonly start: number; readonly end: number },
  facts: Omit<PolicyProblem, "position" | "help" | "policyId"> & {
    readonly help?: string | undefined;
    readonly policyId?: string | undefined;
  },
): PolicyProblem {
  const { code, message, help, policyId } = facts;
  return { code, message, help, policyId, position: positionAt(source, place.start, place.end) };
}

/** A policy source that is refused, with everything that is wrong in it. Nothing of it was used. */
export class PolicyError extends BehalfError {
  override readonly name: string = "PolicyError";
  readonly problems: readonly PolicyProblem[];

  constructor(problems: readonly PolicyProblem[]) {
    super("configuration", problems.map(problemText).join("\n\n"), { reason: "policy" });
    this.problems = problems;
  }
}

function problemText({ code, message, help, policyId, position }: PolicyProblem): string {
  const { file, line, column, excerpt } = position;
  const policy = policyId === undefined ? "" : ` policy ${JSON.stringify(policyId)}:`;
  return [
    `${file}:${line}:${column}: ${code}:${policy} ${message}`,
    excerpt.replaceAll(/^/gm, "  "),
    ...(help === undefined ? [] : [`  ${help}`]),
  ].join("\n");
}

/** In the order of the files given, then of the places in them. */
export function inOrder(
  problems: readonly PolicyProblem[],
  files: readonly string[],
): readonly PolicyProblem[] {
  return problems.toSorted(
    (a, b) =>
      files.indexOf(a.position.file) - files.indexOf(b.position.file) ||
      a.position.line - b.position.line ||
      a.position.column - b.position.column,
  );
}
