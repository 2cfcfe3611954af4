import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { splitRow } from "./postgres-row.ts";

describe("splitRow", () => {
  it.each([
    ["()", 0, []],
    ["()", 1, [null]],
    ["(,)", 2, [null, null]],
    ['("",)', 2, ["", null]],
    ["(1,two)", 2, ["1", "two"]],
    ['("a ""b""","c\\\\d")', 2, ['a "b"', "c\\d"]],
    ['("(1,""x y"")",{1,2})', 3, ['(1,"x y")', "{1", "2}"]],
    ['("a,b")', 1, ["a,b"]],
    ['(" ")', 1, [" "]],
  ])("splits %s into %i columns", (text, columns, row) => {
    expect(splitRow(text, columns)).toEqual(row);
  });

  it.each([
    ["", 1],
    ["1", 1],
    ["(1", 1],
    ["(1)", 2],
    ["(1,2)", 1],
    ['("1)', 1],
    ['("1"2)', 1],
    ["(1)", 0],
  ])("refuses %s as %i columns", (text, columns) => {
    expect(() => splitRow(text, columns)).toThrow("no composite value");
  });

  // record_out of PostgreSQL quotes these: empty text, quotes, backslashes, parentheses, commas, white space.
  it("gives back what PostgreSQL's rules wrote", () => {
    const write = (row: readonly (string | null)[]) =>
      `(${row
        .map((value) => {
          if (value === null) return "";
          return value === "" || /["\\(),\s]/.test(value)
            ? `"${value.replace(/["\\]/g, "$&$&")}"`
            : value;
        })
        .join(",")})`;
    const value = fc.option(
      fc.string({ unit: fc.constantFrom(...'a1"\\(), \n\tü'.split(""), "😀"), maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 6 }), (row) => {
        expect(splitRow(write(row), row.length)).toEqual(row);
      }),
      { numRuns: 2_000, seed: 20_261_123 },
    );
  });
});
