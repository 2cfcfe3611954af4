import { readFileSync } from "node:fs";

import { describe, expect, it } from "vitest";

import { marked } from "../test-support/problems-of.ts";
import { ruleText } from "../test-support/rule-text.ts";
import { emitPostgresRead, lowerPolicies, parsePolicies, PolicyError } from "./index.ts";

const page = readFileSync(new URL("../../../docs/policy-by-hand.md", import.meta.url), "utf8");
const blocks = [...page.matchAll(/```cedar\n(.*?)```/gs)].map(([, text = ""]) => text);

it("lowers the five rules of docs/policy-by-hand.md to this", async () => {
  const [schema = "", ...policies] = blocks;
  expect(policies).toHaveLength(5);
  const parsed = await parsePolicies({
    schema: { file: "schema", text: schema },
    policies: policies.map((text, i) => ({ file: `rule-${i + 1}`, text })),
  });
  const { rules, applicationOnly } = lowerPolicies(parsed);
  expect(applicationOnly).toEqual([]);
  await expect(`${rules.map(ruleText).join("\n\n")}\n`).toMatchFileSnapshot(
    "../test-support/five-rules.golden.txt",
  );
  await expect(
    emitPostgresRead({
      schema: parsed.schema,
      rules,
      columns: {
        "public.notes": { owner_sub: "text" },
        "public.orders": { org_id: "text", amount: "bigint" },
        "public.files": { owner_sub: "text", team_id: "text" },
        "public.messages": { title: "text", labels: "text[]" },
        "public.tickets": { folder: "text", state: "text" },
      },
    }),
  ).toMatchFileSnapshot("../test-support/five-rules-postgres-read.golden.sql");
  // No word of a backend's language.
  expect(JSON.stringify(rules)).not.toMatch(/\b(?:select|null|array\[|behalf\.)/i);
});

it("emits a guard that asks for the human's id where the kit does not", async () => {
  const emitted = async (claim: string) => {
    const parsed = await parsePolicies({
      schema: { file: "schema", text: SCHEMA.replace('@claim("sub")', claim) },
      policies: [{ file: "p", text: '@id("p") permit (principal, action, resource is Folder);' }],
    });
    return emitPostgresRead({
      schema: parsed.schema,
      rules: lowerPolicies(parsed).rules,
      columns: {},
    })
      .split("\n")
      .at(-2);
  };
  const allows = `behalf.allows('"public"."folders"'::regclass, 'read', current_user)`;
  expect(await emitted('@claim("sub")')).toBe(`  using ((select ${allows})`);
  expect(await emitted('@claim("/user/id")')).toMatch(
    /'read', current_user\) and \(select case jsonb_typeof\(c -> 'user' -> 'id'\) when 'string'.* is not null\)$/,
  );
});

it("emits nothing where one rule needs a column that is not emitted yet, and says which", async () => {
  const parsed = await parsePolicies({
    schema: { file: "schema", text: SCHEMA },
    policies: [
      {
        file: "policies",
        text: `@id("fine") permit (principal, action, resource is Folder);\n@id("late") forbid (principal, action, resource is File) when { resource has at && resource.at > datetime("2024-01-01") };\n@id("name") permit (principal, action, resource) when { resource is File && resource has text };`,
      },
    ],
  });
  const emit = (columns: Readonly<Record<string, Readonly<Record<string, string>>>>) => {
    try {
      return emitPostgresRead({
        schema: parsed.schema,
        rules: lowerPolicies(parsed).rules,
        columns,
      });
    } catch (error) {
      if (!(error instanceof PolicyError)) throw error;
      return error.problems.map(
        ({ policyId, message, position: { line } }) => `${line} ${policyId}: ${message}`,
      );
    }
  };
  expect(emit({ "public.files": { at: "timestamp with time zone", text: "citext" } })).toEqual([
    "2 late: a datetime in the column at, timestamp with time zone, is not emitted for PostgreSQL yet",
    "3 name: a string in the column text, citext, is not emitted for PostgreSQL yet",
  ]);
});

const SCHEMA = `
@claim("sub") entity User in [Team] { org?: String, level?: Long, mate?: User };
@membership("public.members(member, team)") entity Team { city?: String };
@table("public.folders") entity Folder in [Team] { name?: String };
@table("public.files") entity File in [Team] {
  folder?: Folder, owner?: User, @parent team?: Team, at?: datetime, size?: Long, text?: String,
  place?: { city: String, zip?: Long },
};
type Call = { actor?: String };
action read, update appliesTo { principal: User, resource: [File, Folder], context: Call };
@verb("none") action print appliesTo { principal: User, resource: File, context: Call };
`;

async function refused(condition: string, scope = "principal, action, resource is File") {
  const text = `@id("fine") permit (principal, action, resource is File);\n@id("p") permit (${scope})\nwhen { ${condition} };`;
  const parsed = await parsePolicies({
    schema: { file: "schema", text: SCHEMA },
    policies: [{ file: "policies", text }],
  });
  let error: unknown;
  try {
    lowerPolicies(parsed);
    return "lowered";
  } catch (thrown) {
    error = thrown;
  }
  if (!(error instanceof PolicyError)) throw error;
  return error.problems
    .map(
      (problem) =>
        `${problem.code} ${problem.policyId} ${problem.position.file}:${problem.position.line} ${marked(problem)}: ${problem.message} | ${problem.help}`,
    )
    .join("; ");
}

describe("what no native policy can carry is refused, with the nearest thing that one can", () => {
  it.each([
    [
      'resource has owner && resource.owner has org && resource.owner.org == "x"',
      "unsupported p policies:3 org: .org is an attribute of another entity, a User, which would be looked up for every row | let the row have a column with that attribute, or make a group of the Users that have it and write in",
    ],
    [
      "principal has mate && principal.mate has level",
      "unsupported p policies:3 level: .level is an attribute of another entity, a User, which would be looked up for every row | let the token have a claim with that attribute",
    ],
    [
      'Team::"a" has city',
      "unsupported p policies:3 city: .city is an attribute of another entity, a Team, which would be looked up for every row | it is the same for every row: write what it is",
    ],
    [
      'resource has at && resource.at.offset(duration("1h")) > datetime("2024-01-01")',
      "unsupported p policies:3 offset: offset() of a value of the row or the token | compare the value itself with a constant that is moved instead: resource.at > datetime(...).offset(...)",
    ],
    [
      'resource has at && resource.at.toDate() == datetime("2024-01-01")',
      "unsupported p policies:3 toDate: toDate() of a value of the row or the token | compare the value itself with constants: resource.at >= datetime(...) && resource.at < datetime(...)",
    ],
    [
      "resource has place && resource.place == resource.place",
      'unsupported p policies:2 @id("p") permit (principal, action, resource is File): two records are compared as a whole | compare their attributes one by one',
    ],
    [
      "context == context",
      "unsupported p policies:3 context: the context is compared or handed on as a whole | compare its attributes one by one",
    ],
    [
      "resource has size && { a: 1, b: resource.size }.a == 1",
      "unsupported p policies:3 a: .a is read from a record whose attribute b has to be evaluated, too | write the value in its place",
    ],
    [
      "resource has size && [[1], [resource.size]].contains([2])",
      "unsupported p policies:3 [: a set of Set<Long> is no array of any backend | ask for each of its elements apart",
    ],
    [
      'resource has folder && resource.folder in Team::"a"',
      "unsupported p policies:3 in: which Team another Folder is in would be looked up for every row | let the row have a column that names the Team",
    ],
  ])("%s", async (condition, expected) => {
    expect(await refused(condition)).toBe(expected);
  });

  it("a row in a group, where nothing says in which it is", async () => {
    expect(await refused("true", 'principal, action, resource in Team::"a"')).toMatch(
      /^unsupported p policies:2 in: nothing says in which Team a Folder is \| mark the attribute that names it in the schema with @parent$/,
    );
    // Only of those tables that the scope allows.
    expect(await refused("true", 'principal, action, resource is File in Team::"a"')).toBe(
      "lowered",
    );
  });
});

describe("a policy becomes one rule for each verb and table that it can apply to", () => {
  const rulesOf = async (policy: string) =>
    lowerPolicies(
      await parsePolicies({
        schema: { file: "schema", text: SCHEMA },
        policies: [{ file: "policies", text: policy }],
      }),
    );

  it.each([
    [
      "principal, action, resource",
      "true",
      ["read File", "read Folder", "update File", "update Folder"],
    ],
    ["principal, action, resource is File", "true", ["read File", "update File"]],
    ['principal, action == Action::"read", resource', "true", ["read File", "read Folder"]],
    ["principal, action, resource", "resource is Folder", ["read Folder", "update Folder"]],
    [
      "principal, action, resource",
      'action != Action::"read" && resource is File',
      ["update File"],
    ],
    // What stands behind a type test has a meaning for that type only.
    [
      "principal, action, resource",
      "(context has actor && resource is File) && resource has size && resource.size > 3",
      ["read File", "update File"],
    ],
    [
      "principal, action, resource",
      "if resource is Folder then resource has name else resource has text",
      ["read File", "read Folder", "update File", "update Folder"],
    ],
    ['principal, action, resource == File::"7"', "true", ["read File", "update File"]],
  ])("(%s) when { %s }", async (scope, condition, expected) => {
    const { rules } = await rulesOf(`@id("p") permit (${scope}) when { ${condition} };`);
    expect(rules.map(({ verb, rowType }) => `${verb} ${rowType}`)).toEqual(expected);
  });

  it("and says so where it is none", async () => {
    const { rules, applicationOnly } = await rulesOf(
      '@id("print") permit (principal, action == Action::"print", resource);',
    );
    expect([rules, applicationOnly]).toEqual([[], ["print"]]);
  });
});
