import fc from "fast-check";
import { expect, it } from "vitest";
import { inspectJson } from "./json-text.ts";

it("finds no member twice in what JSON.stringify writes", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
      expect(inspectJson(JSON.stringify(value, null, indent)).hasDuplicateMember).toBe(false);
    }),
  );
});

it("finds a member that stands twice, however deep and however spelt", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.jsonValue(),
      fc.jsonValue(),
      fc.boolean(),
      (name, first, second, isEscaped) => {
        const escaped = Array.from(
          { length: name.length },
          (_, at) => String.raw`\u${name.charCodeAt(at).toString(16).padStart(4, "0")}`,
        ).join("");
        const key = JSON.stringify(name);
        const again = isEscaped ? `"${escaped}"` : key;
        const text = `[{"x":{${key}:${JSON.stringify(first)},${again} :${JSON.stringify(second)}}}]`;
        // A case that JSON.parse would not accept proves nothing.
        JSON.parse(text);
        expect(inspectJson(text).hasDuplicateMember).toBe(true);
      },
    ),
  );
});

it("counts depth outside of strings only", () => {
  expect(inspectJson('{"a":[[1,"]]]{{{"]]}').depth).toBe(3);
  expect(inspectJson('{"a":"\\"","a":1}').hasDuplicateMember).toBe(true);
  expect(inspectJson('{"a":{"b":1},"b":{"a":2}}').hasDuplicateMember).toBe(false);
  expect(inspectJson(`{"a"${" ".repeat(100)}:1,"a":2}`).hasDuplicateMember).toBe(true);
});
