import { expect, it } from "vitest";

import { plainValue, rowsAnswer } from "./tool-answer.ts";

it("keeps rows that JSON can carry as they are", () => {
  const row = ["text", 1, true, null];
  const { rows } = rowsAnswer({ columns: [], rows: [row], truncated: null });
  expect(rows[0]).toBe(row);
});

it("turns every other value into one that survives JSON", () => {
  const when = new Date("2026-01-01T00:00:00Z");
  const values: [unknown, unknown][] = [
    [10n ** 30n, "1000000000000000000000000000000"],
    [Buffer.from("00ff", "hex"), "\\x00ff"],
    [when, "2026-01-01T00:00:00.000Z"],
    [new Date(Number.NaN), "Invalid Date"],
    [Number.POSITIVE_INFINITY, "Infinity"],
    [undefined, null],
    [Symbol("s"), null],
    [
      [1n, [when]],
      ["1", ["2026-01-01T00:00:00.000Z"]],
    ],
    [{ deep: { bytes: new Uint8Array([1]) } }, { deep: { bytes: "\\x01" } }],
  ];
  for (const [value, plain] of values) expect(plainValue(value)).toEqual(plain);
});
