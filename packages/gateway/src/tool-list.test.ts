import { sql, type SqlAdapter, type Statement } from "@behalf/core";
import { describe, expect, it } from "vitest";
import { z } from "zod";

import { statementTool } from "./statement-tool.ts";
import { toolSet } from "./tool-list.ts";
import type { Tool, ToolCall } from "./tool.ts";

function tool(change: Partial<Parameters<typeof statementTool>[0]> = {}): Tool {
  return statementTool({
    name: "find",
    description: "Finds",
    input: z.object({}),
    statement: () => sql`select 1`,
    ...change,
  });
}

describe("a set of tools", () => {
  it.each<[string, readonly Tool[], string]>([
    ["none", [], "there is no tool"],
    ["one name twice", [tool(), tool()], "is declared twice"],
    ["a name that clients do not take", [tool({ name: "find it" })], "has a name that is not"],
    ["no description", [tool({ description: " " })], "has no description"],
    [
      "a schema that JSON cannot say",
      [tool({ input: z.object({ when: z.date() }) })],
      "has an input that JSON Schema cannot express",
    ],
    [
      "a header that is not checked here",
      [tool({ input: z.object({ a: z.string().meta({ "x-mcp-header": "A" }) }) })],
      "declares x-mcp-header",
    ],
  ])("refuses %s", (_name, tools, message) => {
    expect(() => toolSet(tools)).toThrow(message);
  });

  it("shows that unknown arguments are refused, also where the schema lets them through", () => {
    const { listed } = toolSet([tool({ input: z.looseObject({ a: z.string() }) })]);
    expect(listed[0]?.inputSchema).toMatchObject({ additionalProperties: false });
  });
});

describe("a statement tool", () => {
  const database = {
    query: async () => ({ columns: [], rows: [], truncated: null }),
  } as unknown as SqlAdapter;
  const call = { database, deadlineMs: 1, signal: AbortSignal.abort() } as unknown as ToolCall;

  it("refuses to run what the sql tag did not make", async () => {
    const forged = { text: "select 1", values: [] } as unknown as Statement;
    const made = tool({ statement: () => forged });
    await expect(made.call({}, call)).rejects.toThrow("use the sql tag");
    await expect(tool().call({}, call)).resolves.toMatchObject({ row_count: 0 });
  });

  it("applies the schema's own changes once", async () => {
    const seen: unknown[] = [];
    const made = statementTool({
      name: "find",
      description: "Finds",
      input: z.object({ n: z.number().transform((n) => n + 1) }),
      statement: ({ n }) => {
        seen.push(n);
        return sql`select ${n}`;
      },
    });
    await made.call({ n: 1 }, call);
    expect(seen).toEqual([2]);
  });
});
