import {
  preparsePolicySet,
  preparseSchema,
  statefulIsAuthorized,
} from "@cedar-policy/cedar-wasm/nodejs";
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import { alteredRule, ALTERATIONS } from "../test-support/altered-rule.ts";
import { LEAF_POLICIES } from "../test-support/leaf-conditions.ts";
import { outcome } from "../test-support/pair-evaluator.ts";
import { RANDOM_SCHEMA, randomPolicy } from "../test-support/random-policy.ts";
import { cedarRequest, type RandomScene, randomScene } from "../test-support/random-scene.ts";
import { type CedarEngine, cedarEngine } from "./cedar-engine.ts";
import type { Rule } from "./intermediate.ts";
import { lowerPolicy } from "./lower-policies.ts";
import type { PolicySchema } from "./policy-schema.ts";
import { readPolicies } from "./read-policies.ts";
import { readSchema } from "./read-schema.ts";
import { validatePolicies } from "./validate-policies.ts";

/** `BEHALF_POLICY_RUNS=10000` takes two minutes. */
const RUNS = Number(process.env["BEHALF_POLICY_RUNS"] ?? 50);
const SEED = Number(process.env["BEHALF_SEED"] ?? Date.now() % 2 ** 31);
/** One that always runs; seeds that find a difference are added. */
const KEPT_SEEDS: readonly number[] = [20_261_125];
const SCENES = 12;
const LEAF_SEED = 7;
const LEAF_SCENES = 16;

const SOURCE = { file: "random.cedarschema", text: RANDOM_SCHEMA };
let engine: CedarEngine;
let schema: PolicySchema;
beforeAll(async () => {
  engine = await cedarEngine();
  const read = readSchema(engine, SOURCE);
  if (read.schema === undefined) throw new Error(JSON.stringify(read.problems));
  schema = read.schema;
  const parsed = preparseSchema("random", RANDOM_SCHEMA);
  if (parsed.type === "failure") throw new Error(JSON.stringify(parsed.errors));
});

type Outcome = "true" | "false" | "error";

/** What Cedar's own evaluator makes of the one policy. */
function cedarOutcome(scene: RandomScene): Outcome {
  const answer = statefulIsAuthorized({
    ...cedarRequest(scene, schema),
    preparsedSchemaName: "random",
    preparsedPolicySetId: "random",
    validateRequest: true,
  });
  if (answer.type === "failure") throw new Error(JSON.stringify(answer.errors));
  const { reason, errors } = answer.response.diagnostics;
  return errors.length > 0 ? "error" : reason.length > 0 ? "true" : "false";
}

interface Case {
  readonly rule: Rule;
  readonly scene: RandomScene;
  readonly decided: Outcome;
}

const seen = { true: 0, false: 0, error: 0, acceptedByTheValidator: 0 };

/** One policy in some scenes: the lowered form says what Cedar's evaluator says. */
function compare(text: string, scenes: readonly RandomScene[]): readonly Case[] {
  const { policies, problems } = readPolicies(engine, { file: "random.cedar", text });
  expect(problems).toEqual([]);
  const [policy] = policies;
  if (policy === undefined) throw new Error("no policy");
  const rules = lowerPolicy(policy, schema);
  preparsePolicySet("random", { staticPolicies: text });
  const cases: Case[] = [];
  for (const scene of scenes) {
    const decided = cedarOutcome(scene);
    seen[decided]++;
    const rule = rules.find(
      ({ action, rowType }) => action === `Action::"${scene.action}"` && rowType === scene.rowType,
    );
    // Where there is no rule the policy never applies; whether it fails makes no difference.
    const never = decided === "true" ? "no rule" : decided;
    expect(rule === undefined ? never : outcome(rule, scene), text).toBe(decided);
    if (rule !== undefined) cases.push({ rule, scene, decided });
  }
  return cases;
}

it.each([...KEPT_SEEDS, SEED])(
  "says of random policies what Cedar's evaluator says, failures too (seed %i)",
  { timeout: 3_600_000 },
  (seed) => {
    const before = { ...seen };
    fc.assert(
      fc.property(
        randomPolicy,
        fc.array(randomScene, { minLength: SCENES, maxLength: SCENES }),
        (text, scenes) => {
          compare(text, scenes);
          const { policies } = readPolicies(engine, { file: "random.cedar", text });
          if (validatePolicies(engine, SOURCE, policies).length === 0) {
            seen.acceptedByTheValidator++;
          }
        },
      ),
      { seed, numRuns: RUNS, endOnFailure: true },
    );
    if (process.env["BEHALF_POLICY_RUNS"] !== undefined) console.log(`seed ${seed}`, seen);
    // An oracle that says one thing only would agree with anything.
    for (const answer of ["true", "false", "error", "acceptedByTheValidator"] as const) {
      expect(seen[answer] - before[answer], answer).toBeGreaterThan(0.04 * RUNS);
    }
  },
);

describe("every operator", () => {
  const cases: Case[] = [];

  it("says what Cedar's evaluator says, asked and negated", () => {
    const scenes = fc.sample(
      randomScene.filter(({ rowType }) => rowType === "Doc"),
      { seed: LEAF_SEED, numRuns: LEAF_SCENES },
    );
    const withOneAnswer: string[] = [];
    for (const text of LEAF_POLICIES) {
      const compared = compare(text, scenes);
      cases.push(...compared);
      // What can never be true has no rule.
      if (new Set(compared.map(({ decided }) => decided)).size === 1) withOneAnswer.push(text);
    }
    expect(withOneAnswer).toEqual([]);
  });

  it.each(Object.keys(ALTERATIONS))("an altered form is told apart: %s", (name) => {
    const alter = ALTERATIONS[name] ?? ((node) => node);
    const altered = new Map<Rule, Rule>();
    const differs = cases.some(({ rule, scene, decided }) => {
      const wrong = altered.get(rule) ?? alteredRule(rule, alter);
      altered.set(rule, wrong);
      return outcome(wrong, scene) !== decided;
    });
    expect(differs).toBe(true);
  });
});
