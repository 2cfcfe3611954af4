import type { DetailedError, PolicyJson } from "@cedar-policy/cedar-wasm/nodejs";

import type { CedarEngine } from "./cedar-engine.ts";
import { type CedarToken, cedarTokens, withoutComments } from "./cedar-tokens.ts";
import { nearestName } from "./nearest-name.ts";
import { type PolicyProblem, problemAt } from "./problems.ts";
import type { Place } from "./schema-places.ts";
import { indexOfByte, type SourceText } from "./source-text.ts";

/** One policy as Cedar reads it, and where it stands. */
export interface ParsedPolicy {
  readonly id: string;
  readonly source: SourceText;
  /** UTF-16 indexes into the source. */
  readonly place: Place;
  readonly text: string;
  readonly json: PolicyJson;
}

const ANNOTATIONS: readonly string[] = ["id", "doc"];

/** The policies of one file. What is wrong with an id or a number is among the problems. */
export function readPolicies(
  engine: CedarEngine,
  source: SourceText,
): { readonly policies: readonly ParsedPolicy[]; readonly problems: readonly PolicyProblem[] } {
  const parts = engine.split(source.text);
  if (!parts.ok) {
    return {
      policies: [],
      problems: parts.errors.map((error) => cedarProblem(source, 0, error, { code: "syntax" })),
    };
  }
  const problems: PolicyProblem[] = [];
  // A comment may hold the text of a policy that follows.
  const bare = withoutComments(source.text);
  for (const template of parts.value.templates) {
    const start = Math.max(bare.indexOf(withoutComments(template)), 0);
    const slot = /\?(?:principal|resource)/.exec(withoutComments(template));
    problems.push(
      problemAt(
        source,
        {
          start: start + (slot?.index ?? 0),
          end: start + (slot?.index ?? 0) + (slot?.[0].length ?? 0),
        },
        {
          code: "template",
          message: "a policy with slots is no policy yet",
          help: "write one policy for each link, with the entity in the place of the slot",
        },
      ),
    );
  }
  const policies: ParsedPolicy[] = [];
  let from = 0;
  for (const text of parts.value.policies) {
    const start = bare.indexOf(withoutComments(text), from);
    from = start + text.length;
    const place = { start, end: from };
    const parsed = engine.policy(text);
    if (!parsed.ok) {
      for (const error of parsed.errors) {
        problems.push(cedarProblem(source, start, error, { code: "syntax" }));
      }
      continue;
    }
    const json = parsed.value;
    const tokens = cedarTokens(text);
    const id = json.annotations?.["id"];
    problems.push(...annotationProblems(source, start, tokens, json, id));
    problems.push(...integerProblems(source, place, tokens, json, id));
    if (id !== undefined) policies.push({ id, source, place, text, json });
  }
  return { policies, problems };
}

/** A problem that Cedar found, whose bytes count from `start`. */
export function cedarProblem(
  source: SourceText,
  start: number,
  error: DetailedError,
  facts: { readonly code: PolicyProblem["code"]; readonly policyId?: string },
): PolicyProblem {
  const text = source.text.slice(start);
  const { start: first = 0, end = 0, label } = error.sourceLocations?.[0] ?? {};
  const clean = (message: string) =>
    message
      // Cedar names policies by ids that we made.
      .replace(/^for policy `[^`]*`[,:] /, "")
      .replace(/^failed to parse polic(?:y|ies) from string: /, "");
  return problemAt(
    source,
    { start: start + indexOfByte(text, first), end: start + indexOfByte(text, end) },
    {
      ...facts,
      message: clean(error.message),
      help: error.help === null ? (label ?? undefined) : clean(error.help),
    },
  );
}

function annotationProblems(
  source: SourceText,
  start: number,
  tokens: readonly CedarToken[],
  json: PolicyJson,
  id: string | undefined,
): readonly PolicyProblem[] {
  const problems: PolicyProblem[] = [];
  for (const annotation of Object.keys(json.annotations ?? {})) {
    if (ANNOTATIONS.includes(annotation)) continue;
    const at = tokens.findIndex(
      ({ text }, i) => text === "@" && tokens[i + 1]?.text === annotation,
    );
    const nearest = nearestName(annotation, ANNOTATIONS);
    problems.push(
      problemAt(
        source,
        { start: start + (tokens[at]?.start ?? 0), end: start + (tokens[at + 1]?.end ?? 0) },
        {
          code: "mapping",
          message: `there is no annotation @${annotation}`,
          help:
            nearest === undefined
              ? "a policy has @id and @doc; the mapping stands in the schema"
              : `did you mean @${nearest}?`,
          policyId: id,
        },
      ),
    );
  }
  if (id === undefined || id === "") {
    problems.push(
      problemAt(
        source,
        { start: start, end: start + (tokens[0]?.text.length ?? 1) },
        {
          code: "id",
          message: "this policy has no id",
          help: 'write @id("name") in front of it: its native policies are named after it',
        },
      ),
    );
  }
  return problems;
}

/** Cedar counts to 2^63; its JSON goes through numbers of JavaScript's, which are exact to 2^53. */
function integerProblems(
  source: SourceText,
  place: Place,
  tokens: readonly CedarToken[],
  json: PolicyJson,
  policyId: string | undefined,
): readonly PolicyProblem[] {
  const facts = {
    code: "integer",
    message: "this number is beyond 2^53 and would be rounded in silence",
    help: `numbers in policies reach from ${Number.MIN_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}`,
    policyId,
  } as const;
  const places = tokens
    .filter(({ kind, text }) => kind === "number" && BigInt(text) > BigInt(Number.MAX_SAFE_INTEGER))
    .map(({ start, end }) => ({ start: place.start + start, end: place.start + end }));
  // Whatever the text looks like: no rounded number leaves here.
  if (places.length === 0 && !hasOnlyExactNumbers(json)) places.push(place);
  return places.map((where) => problemAt(source, where, facts));
}

function hasOnlyExactNumbers(value: unknown): boolean {
  if (typeof value === "number") return Number.isSafeInteger(value);
  if (typeof value !== "object" || value === null) return true;
  return Object.values(value).every(hasOnlyExactNumbers);
}
