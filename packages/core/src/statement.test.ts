import { describe, expect, it } from "vitest";
import { isStatement, sql } from "./statement.ts";

describe("a statement", () => {
  it("keeps its values apart from its text", () => {
    const hostile = "'; drop table orders; --";
    const { text, values } = sql`select * from orders where a = ${hostile} and b = ${2}`;
    expect(text).toBe("select * from orders where a = $1 and b = $2");
    expect(values).toEqual([hostile, 2]);
  });

  it("cannot be changed, copied or made of JSON", () => {
    const statement = sql`select ${1}`;
    expect(isStatement(statement)).toBe(true);
    expect(Object.isFrozen(statement) && Object.isFrozen(statement.values)).toBe(true);
    expect(isStatement({ ...statement })).toBe(false);
    expect(isStatement(structuredClone(statement))).toBe(false);
    expect(isStatement(JSON.parse(JSON.stringify(statement)))).toBe(false);
    expect(isStatement(Object.create(statement))).toBe(false);
  });

  it.each([
    ["a string", "select 1"],
    ["a list of strings", ["select 1"]],
    ["a frozen list", Object.freeze(["select 1"])],
    ["a list with raw", Object.assign(["select 1"], { raw: ["select 1"] })],
    ["nothing", undefined],
  ])("is not made of %s", (_name, strings) => {
    expect(() => sql(strings as never)).toThrow(TypeError);
  });
});
