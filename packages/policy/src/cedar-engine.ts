import type {
  DetailedError,
  PolicyJson,
  SchemaJson,
  ValidationError,
} from "@cedar-policy/cedar-wasm/nodejs";

export type Answer<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly errors: readonly DetailedError[] };

/** What of Cedar this package uses. Nothing else here parses or validates Cedar. */
export interface CedarEngine {
  readonly schema: (
    text: string,
  ) => Answer<{ readonly json: SchemaJson<string>; readonly warnings: readonly DetailedError[] }>;
  /** The source of each policy and each template, in the order in which they stand in the text. */
  readonly split: (
    text: string,
  ) => Answer<{ readonly policies: readonly string[]; readonly templates: readonly string[] }>;
  readonly policy: (text: string) => Answer<PolicyJson>;
  readonly validate: (
    schema: string,
    policies: Readonly<Record<string, string>>,
  ) => Answer<{
    readonly errors: readonly ValidationError[];
    readonly warnings: readonly ValidationError[];
    readonly others: readonly DetailedError[];
  }>;
}

/** Loaded on first use: 4.3 MB of WebAssembly, which takes about 100 ms. */
export async function cedarEngine(): Promise<CedarEngine> {
  const cedar = await import("@cedar-policy/cedar-wasm/nodejs");
  return {
    schema: (text) =>
      guarded(() => {
        const answer = cedar.schemaToJsonWithResolvedTypes(text);
        return answer.type === "failure"
          ? failed(answer.errors)
          : done({ json: answer.json, warnings: answer.warnings });
      }),
    split: (text) =>
      guarded(() => {
        const answer = cedar.policySetTextToParts(text);
        if (answer.type === "failure") return failed(answer.errors);
        return done({
          policies: inSourceOrder(answer.policies),
          templates: answer.policy_templates,
        });
      }),
    policy: (text) =>
      guarded(() => {
        const answer = cedar.policyToJson(text);
        return answer.type === "failure" ? failed(answer.errors) : done(answer.json);
      }),
    validate: (schema, policies) =>
      guarded(() => {
        // `success` only says that it could be validated.
        const answer = cedar.validate({
          schema,
          policies: { staticPolicies: policies },
          validationSettings: { mode: "strict" },
        });
        if (answer.type === "failure") return failed(answer.errors);
        const { validationErrors, validationWarnings, otherWarnings } = answer;
        return done({
          errors: validationErrors,
          warnings: validationWarnings,
          others: otherWarnings,
        });
      }),
  };
}

const done = <T>(value: T): Answer<T> => ({ ok: true, value });
const failed = <T>(errors: readonly DetailedError[]): Answer<T> => ({ ok: false, errors });

/** Some wrong input is no failure but a throw, for example a lone surrogate. */
function guarded<T>(call: () => Answer<T>): Answer<T> {
  try {
    return call();
  } catch (error) {
    return failed([
      {
        message: `Cedar cannot read this: ${error instanceof Error ? error.message : String(error)}`,
        help: null,
        code: null,
        url: null,
        severity: null,
      },
    ]);
  }
}

/** Cedar sorts by its ids as strings: policy0, policy1, policy10, policy2. */
function inSourceOrder(parts: readonly string[]): readonly string[] {
  const ids = parts.map((_, index) => `policy${index}`).toSorted();
  const ordered: string[] = [];
  for (const [at, id] of ids.entries()) ordered[Number(id.slice(6))] = parts[at] ?? "";
  return ordered;
}
