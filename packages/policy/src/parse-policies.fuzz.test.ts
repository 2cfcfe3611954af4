import { readFileSync } from "node:fs";

import fc from "fast-check";
import { expect, it } from "vitest";

import { LEAF_CONDITIONS } from "../test-support/leaf-conditions.ts";
import { guarded, RANDOM_SCHEMA, randomPolicy } from "../test-support/random-policy.ts";
import { cedarTokens } from "./cedar-tokens.ts";
import { lowerPolicies, parsePolicies, PolicyError } from "./index.ts";

/** `BEHALF_POLICY_RUNS=10000` takes a minute. */
const RUNS = Number(process.env["BEHALF_POLICY_RUNS"] ?? 40);
const SEED = Number(process.env["BEHALF_SEED"] ?? Date.now() % 2 ** 31);

const page = readFileSync(new URL("../../../docs/policy-by-hand.md", import.meta.url), "utf8");
const [PAGE_SCHEMA = "", ...PAGE_POLICIES] = [...page.matchAll(/```cedar\n(.*?)```/gs)].map(
  ([, text = ""]) => text,
);

const HOSTILE = [
  "\u0000",
  "\uD800",
  "😀",
  "/*",
  "//",
  '"',
  "\\",
  "@id",
  "?principal",
  "{",
  "}",
  "9007199254740993",
  "\u202E",
  "__proto__",
  "constructor",
  "-",
  "in",
  "has",
  "\r\n\t",
];

/** A text with some of its tokens taken away, doubled, exchanged, or followed by something hostile. */
function mutated(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  const change = fc.record({
    how: fc.constantFrom(
      "keep",
      "drop",
      "double",
      "alike",
      "alike",
      "alike",
      "any",
      "insert",
      "hostile",
    ),
    at: fc.nat(),
    other: fc.nat(),
    what: fc.constantFrom(...HOSTILE),
  });
  return fc.tuple(text, fc.array(change, { minLength: 1, maxLength: 2 })).map(([source, changes]) =>
    changes.reduce((before, { how, at, other, what }) => {
      const tokens = cedarTokens(before);
      const [one, two] = [tokens[at % tokens.length], tokens[other % tokens.length]];
      if (one === undefined || two === undefined) return what;
      const alike = tokens.filter(({ kind }) => kind === one.kind);
      const put = {
        keep: one.text,
        drop: "",
        double: `${one.text} ${one.text}`,
        alike: alike[other % alike.length]?.text ?? "",
        any: two.text,
        insert: `${one.text} ${what}`,
        hostile: what,
      }[how];
      return before.slice(0, one.start) + put + before.slice(one.end);
    }, source),
  );
}

/** Leaves as the validator accepts them, and anything. */
const policyText = fc.oneof(
  {
    arbitrary: fc
      .constantFrom(...LEAF_CONDITIONS)
      .map(
        (leaf) => `@id("p") permit (principal, action, resource is Doc) when { ${guarded(leaf)} };`,
      ),
    weight: 4,
  },
  randomPolicy,
);

/** How parsing and lowering ended. Anything but a result or a `PolicyError` fails the test. */
async function ending(schema: string, policies: string): Promise<string> {
  const texts: Readonly<Record<string, string>> = { schema, policies };
  try {
    lowerPolicies(
      await parsePolicies({
        schema: { file: "schema", text: schema },
        policies: [{ file: "policies", text: policies }],
      }),
    );
    return "lowered";
  } catch (error) {
    if (!(error instanceof PolicyError)) throw error;
    const hasNoPlace = error.problems.find(({ position: { file, line, column }, message }) => {
      const lines = (texts[file] ?? "").split("\n");
      const at = lines[line - 1];
      return at === undefined || column > at.length + 1 || message === "";
    });
    if (error.problems.length === 0 || hasNoPlace !== undefined) {
      throw new Error(`no place: ${JSON.stringify(hasNoPlace)}`, { cause: error });
    }
    return error.problems.some(({ code }) => code === "unsupported") ? "unsupported" : "refused";
  }
}

it(
  "ends every text with a result or with problems that have a place",
  { timeout: 600_000 },
  async () => {
    const endings: Record<string, number> = {};
    const count = async (schema: string, policies: string) => {
      const how = await ending(schema, policies);
      endings[how] = (endings[how] ?? 0) + 1;
    };
    await fc.assert(
      fc.asyncProperty(
        mutated(policyText),
        mutated(fc.constantFrom(...PAGE_POLICIES)),
        mutated(fc.constant(PAGE_SCHEMA)),
        async (random, ofThePage, schema) => {
          await count(RANDOM_SCHEMA, random);
          await count(PAGE_SCHEMA, ofThePage);
          await count(schema, PAGE_POLICIES.join("\n"));
        },
      ),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
    if (process.env["BEHALF_POLICY_RUNS"] !== undefined) console.log(`seed ${SEED}`, endings);
    expect(endings["lowered"]).toBeGreaterThan(0);
    expect(endings["refused"]).toBeGreaterThan(0);
  },
);
