import { expect, it } from "vitest";
import * as core from "./index.ts";
import { isStatement } from "./statement.ts";
import * as trustedText from "./trusted-text.ts";
import { trustedStatement } from "./trusted-text.ts";

it("makes a statement of a text that its caller vouches for", () => {
  const statement = trustedStatement("select $1::text", ["a"]);
  expect(isStatement(statement)).toBe(true);
  expect(statement).toEqual({ text: "select $1::text", values: ["a"] });
});

it("is all that this entry exports", () => {
  expect(Object.keys(trustedText).toSorted()).toEqual(["trustedStatement"]);
});

it("is not part of the main entry", () => {
  expect(core).not.toHaveProperty("trustedStatement");
  expect(core).not.toHaveProperty("brandStatement");
});

it.each([
  ["nothing", ""],
  ["spaces", "  "],
  ["a NUL character", "select 1\0"],
  ["no string", 1],
])("refuses %s", (_name, text) => {
  expect(() => trustedStatement(text as string)).toThrow(TypeError);
});
