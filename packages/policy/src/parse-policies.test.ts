import { describe, expect, it } from "vitest";

import { NOTES_SCHEMA, problemsOf, said } from "../test-support/problems-of.ts";
import { parsePolicies, PolicyError } from "./index.ts";

const owner = `@id("owner") permit (principal, action, resource) when { resource.owner == principal };`;

it("keeps the order, the ids and the places of policies in several files", async () => {
  const many = Array.from(
    { length: 12 },
    (_, i) =>
      `// permit(principal, action, resource) when { ${i} == ${i} };\n@id("p${i}") permit(principal, action, resource) when { ${i} == ${i} };`,
  ).join("\n");
  const { policies } = await parsePolicies({
    schema: { file: "schema", text: NOTES_SCHEMA },
    policies: [
      { file: "a", text: owner },
      { file: "b", text: many },
    ],
  });
  expect(policies.map(({ id }) => id)).toEqual([
    "owner",
    ...Array.from({ length: 12 }, (_, i) => `p${i}`),
  ]);
  // Not of the comment in front, which holds the same text.
  for (const { source, place, text } of policies) {
    expect(source.text.slice(place.start, place.end)).toBe(text);
    expect(text).toMatch(/^@id/);
  }
});

describe("a place", () => {
  it("is counted in UTF-16, whatever stands before it", async () => {
    const before =
      '// größer 😀\n@id("ä") permit (principal, action, resource)\n  when { "é😀\u0301" != "x" && ';
    const text = `${before}resource.nope == 1 };`;
    const [problem] = await problemsOf(NOTES_SCHEMA, text);
    expect(problem).toMatchObject({
      code: "validation",
      policyId: "ä",
      position: {
        file: "policies-1",
        line: 3,
        column: '  when { "é😀\u0301" != "x" && '.length + 1,
      },
    });
    const [line = "", caret = ""] = problem?.position.excerpt.split("\n") ?? [];
    expect(line.slice(caret.indexOf("^"), caret.lastIndexOf("^") + 1)).toBe("resource.nope");
  });

  it("is the same in the second policy of a file, and with Windows' line ends and tabs", async () => {
    const text = `${owner}\r\n\t@id("zwei") permit (principal, action, resource)\r\n\twhen { resource.größe };`;
    const [problem] = await problemsOf(NOTES_SCHEMA, text);
    expect(problem).toMatchObject({ code: "syntax", position: { line: 3 } });
    const wrong = text.replace("größe", "nope");
    const [second] = await problemsOf(NOTES_SCHEMA, wrong);
    expect(second).toMatchObject({
      policyId: "zwei",
      position: { line: 3, column: "\twhen { ".length + 1 },
    });
    expect(second?.position.excerpt).toBe(
      "3 | \twhen { resource.nope };\n  | \t       ^^^^^^^^^^^^^",
    );
  });

  it("is in the schema, too", async () => {
    expect(await said(`// ä😀\nentity ${"B".repeat(3)} { ö: Long };`)).toEqual([
      expect.stringMatching(/^schema:2:14 schema: /),
    ]);
    expect(await said("// ä😀\nentity User { /* */ a: Long };")).toHaveLength(1);
    expect(await said("// ä😀\nentity User { a: Strin };")).toEqual([
      "schema:2:18 schema: failed to resolve type: Strin | `Strin` has not been declared as a common or entity type",
    ]);
  });
});

describe("errors, not warnings", () => {
  it("a number beyond 2^53, which Cedar's JSON rounds", async () => {
    const policy = (digits: string) =>
      `@id("n") permit (principal, action, resource) when { resource has size && resource has org && resource.size == ${digits} };`;
    for (const digits of [
      "9007199254740991",
      "-9007199254740991",
      '0 && resource.org == "9007199254740993"',
    ]) {
      expect(await said(NOTES_SCHEMA, policy(digits)), digits).toEqual([]);
    }
    const column = policy("").indexOf(" }") + 1;
    for (const digits of ["9007199254740992", "9007199254740993", "9223372036854775807"]) {
      expect(await said(NOTES_SCHEMA, policy(digits)), digits).toEqual([
        expect.stringContaining(`policies-1:1:${column} integer n: this number is beyond 2^53`),
      ]);
    }
    expect(await said(NOTES_SCHEMA, policy("-9007199254740993"))).toEqual([
      expect.stringContaining(`policies-1:1:${column + 1} integer n: `),
    ]);
    // Cedar's own end.
    expect(await said(NOTES_SCHEMA, policy("9223372036854775808"))).toEqual([
      expect.stringContaining("is too large"),
    ]);
    // In a comment it is nobody's number.
    expect(await said(NOTES_SCHEMA, `// 9007199254740993\n${owner}`)).toEqual([]);
  });

  it("policies that can never apply", async () => {
    for (const [effect, word] of [
      ["forbid", "forbids"],
      ["permit", "permits"],
    ]) {
      for (const condition of ["false", "resource == principal", "resource has nope"]) {
        const text = `@id("never") ${effect} (principal, action, resource) when { ${condition} };`;
        expect(await said(NOTES_SCHEMA, text), text).toEqual([
          expect.stringContaining(`it ${word} nothing`),
        ]);
      }
    }
  });

  it("letters of two scripts in one string", async () => {
    const text = '@id("p") permit (principal == User::"аlice", action, resource);';
    expect(await said(NOTES_SCHEMA, text)).toEqual([
      expect.stringMatching(/^policies-1:1:\d+ warning p: .*mixed scripts/),
    ]);
  });

  it("what the strict validator refuses", async () => {
    for (const [condition, message] of [
      ["resource.size > 3", "unable to guarantee safety of access to optional attribute `size`"],
      ['resource has size && resource.size == "3"', "the types"],
      ["resource.nope", "attribute `nope` on entity type `Note` not found"],
      ["[] == [1]", "empty set literals are forbidden in policies"],
    ]) {
      const text = `@id("p") permit (principal, action, resource) when { ${condition} };`;
      expect(await said(NOTES_SCHEMA, text), text).toContainEqual(
        expect.stringContaining(message ?? ""),
      );
    }
  });

  it("slots", async () => {
    expect(
      await said(
        NOTES_SCHEMA,
        `${owner}\n@id("t") permit (principal == ?principal, action, resource);`,
      ),
    ).toEqual([expect.stringMatching(/^policies-1:2:31 template: a policy with slots/)]);
  });

  it("text that is no UTF-8", async () => {
    expect(await said(NOTES_SCHEMA, `${owner} // \uD83D`)).toEqual([
      expect.stringContaining("half a character"),
    ]);
    expect(await said(`${NOTES_SCHEMA} // \0`, owner)).toEqual([expect.stringContaining("NUL")]);
  });
});

describe("ids", () => {
  const permit = (id: string) => `@id("${id}") permit (principal, action, resource);`;

  it("are needed", async () => {
    expect(await said(NOTES_SCHEMA, "permit (principal, action, resource);")).toEqual([
      expect.stringMatching(/^policies-1:1:1 id: this policy has no id \| write @id/),
    ]);
    expect(await said(NOTES_SCHEMA, permit(""))).toHaveLength(1);
    expect(await said(NOTES_SCHEMA, permit("a").replace("@id", "@Id"))).toEqual([
      expect.stringContaining("there is no annotation @Id | did you mean @id?"),
      expect.stringContaining("has no id"),
    ]);
  });

  it("are used once, in all files together", async () => {
    expect(await said(NOTES_SCHEMA, permit("a"), `\n${permit("a")}`)).toEqual([
      "policies-2:2:1 id a: this id is used already, in policies-1:1 | give one of them another id",
    ]);
  });

  it("are different as native names", async () => {
    for (const other of ["Own Notes", "own-notes", "OWN_NOTES", "own.notes"]) {
      expect(await said(NOTES_SCHEMA, permit("own_notes"), permit(other)), other).toEqual([
        expect.stringContaining(
          'the same as "own_notes" in policies-1:1: both are cedar_own_notes',
        ),
      ]);
    }
  });

  it("fit into PostgreSQL's names", async () => {
    expect(await said(NOTES_SCHEMA, permit("x".repeat(50)))).toEqual([]);
    expect(await said(NOTES_SCHEMA, permit("x".repeat(51)))).toEqual([
      expect.stringContaining("has 64 bytes, and PostgreSQL cuts names at 63 | shorten it by 1"),
    ]);
    // Two that PostgreSQL would cut to one.
    expect(
      await said(NOTES_SCHEMA, permit(`${"x".repeat(60)}1`), permit(`${"x".repeat(60)}2`)),
    ).toHaveLength(2);
  });
});

it("tells everything at once, in order, and uses nothing of it", async () => {
  const wrong =
    '@id("b") permit (principal, action, resource) when { resource.nope };\n@id("b") forbid (principal, action, resource) when { false };';
  const problems = await problemsOf(
    NOTES_SCHEMA.replace("@table", "@tabel"),
    `${owner} ${wrong}`,
    "permit (",
  );
  expect(problems.map(({ code }) => code)).toEqual([
    "mapping",
    "mapping",
    "validation",
    "id",
    "impossible",
    "syntax",
  ]);
  const error = new PolicyError(problems);
  expect(error.code).toBe("configuration");
  expect(error.message).toContain(
    'schema:3:1: mapping: there is no annotation @tabel\n  3 | @tabel("public.notes") entity Note { owner: User, org?: String, size?: Long };\n    | ^^^^^^^^^^^^^^^^^^^^^^\n  did you mean @table?',
  );
});
