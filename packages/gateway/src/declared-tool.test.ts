import type { SqlAdapter, Statement } from "@behalf/core";
import { isStatement, newCallId, Secret } from "@behalf/core";
import { describe, expect, it } from "vitest";

import {
  declarationProblems,
  declaredTool,
  type DeclaredParameter,
  type ToolDeclaration,
} from "./declared-tool.ts";
import { toolSet } from "./tool-list.ts";

const base: ToolDeclaration = {
  name: "orders_of",
  description: "Orders of a region",
  parameters: {
    region: { type: "enum", values: ["emea", "apac"], description: "Where" },
    since: { type: "date", required: false },
    limit: { type: "integer", default: 10 },
  },
  statement: "select id from orders where region = :region and day >= :since::date limit :limit",
};

/** A database that remembers what it was asked. It stands for one: what a statement does is not tested here. */
function recorder() {
  const asked: { statement: string | Statement; options: unknown }[] = [];
  const database = {
    query: async (_delegation: unknown, statement: string | Statement, options: unknown) => {
      asked.push({ statement, options });
      return { columns: [{ name: "id", typeId: 23 }], rows: [[1]], truncated: null };
    },
  } as unknown as SqlAdapter;
  const delegation = {
    callId: newCallId(),
    identity: {
      issuer: "https://issuer.example",
      subject: "alice",
      actors: [],
      audience: [],
      clientId: "c",
      tokenId: "t",
      expiresAtMs: 0,
      issuedAtMs: 0,
      claims: {},
      token: new Secret("t"),
    },
  };
  const { signal } = new AbortController();
  return { asked, call: { database, delegation, signal, deadlineMs: 1000 } };
}

describe("a declared tool", () => {
  it("asks with values apart from the text", async () => {
    const { asked, call } = recorder();
    const hostile = "emea' or true --";
    const tool = declaredTool({
      ...base,
      parameters: { ...base.parameters, region: { type: "string" } },
    });
    expect(await tool.call({ region: hostile }, call)).toEqual({
      columns: ["id"],
      rows: [[1]],
      row_count: 1,
    });
    expect(asked).toHaveLength(1);
    expect(isStatement(asked[0]?.statement)).toBe(true);
    expect(asked[0]).toMatchObject({
      statement: {
        text: "select id from orders where region = $1 and day >= $2::date limit $3",
        values: [hostile, null, 10],
      },
      options: { access: "read", maxRows: 1000 },
    });
  });

  it("shows agents what it takes", () => {
    const { listed } = toolSet([declaredTool({ ...base, access: "write", destructive: false })]);
    expect(listed[0]).toMatchObject({
      annotations: { readOnlyHint: false, destructiveHint: false, idempotentHint: false },
      inputSchema: {
        additionalProperties: false,
        required: ["region"],
        properties: {
          region: { type: "string", enum: ["emea", "apac"], description: "Where" },
          since: { type: "string", format: "date" },
          limit: { type: "integer", default: 10 },
        },
      },
    });
  });

  it.each([
    [{}, /region/],
    [{ region: "mars" }, /region/],
    [{ region: "emea", since: "yesterday" }, /since/],
    [{ region: "emea", limit: 1.5 }, /limit/],
    [{ region: "emea", limit: "1" }, /limit/],
    [{ region: "emea", role: "admin" }, /role: there is no such argument/],
    ["emea", /object/],
  ])("refuses %j", async (args, why) => {
    const { asked, call } = recorder();
    await expect(declaredTool(base).call(args, call)).rejects.toThrow(why);
    expect(asked).toEqual([]);
  });
});

describe("a declaration", () => {
  const text: DeclaredParameter = { type: "string" };
  it.each<[Partial<ToolDeclaration>, string]>([
    [{ statement: "select :region, :since, :limit, :nobody" }, ":nobody is declared nowhere"],
    [{ statement: "select :region, :since" }, "limit is used nowhere"],
    [{ statement: " " }, "the statement is empty"],
    [{ statement: "select :region, :since, :limit, $1" }, "$1 has no name"],
    [{ statement: "select :a", parameters: { a: { type: "enum" } } }, "an enum without values"],
    [
      { statement: "select :a", parameters: { a: { type: "string", values: ["x"] } } },
      "is no enum",
    ],
    [
      { statement: "select :a", parameters: { a: { type: "integer", default: "x" } } },
      "a default that is no integer",
    ],
    [{ statement: "select 1", parameters: { "a b": { type: "string" } } }, "is no name"],
    [
      { statement: "select :toString", parameters: { toString: text } },
      "toString is a name that every object has; choose another",
    ],
    [
      { statement: "select :constructor", parameters: { constructor: text } },
      "constructor is a name that every object has",
    ],
  ])("%j is refused", (change, message) => {
    const declaration = { ...base, ...change };
    const found = declarationProblems(declaration).map((problem) => problem.message);
    expect(found).toContainEqual(expect.stringContaining(message));
    expect(() => declaredTool(declaration)).toThrow(message);
  });

  it("is told where the placeholder stands, not where the same letters do", () => {
    const statement = "select 'x'::foo /* :foo */ where a = :foo";
    const [problem] = declarationProblems({ ...base, parameters: {}, statement });
    expect(problem?.offset).toBe(statement.lastIndexOf(":foo"));
  });
});
