import { expect, it } from "vitest";
import { isCallId, newCallId } from "./call-id.ts";

it("is a UUID version 7 that tells its time", () => {
  const before = Date.now();
  const id = newCallId();
  expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  const told = Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16);
  expect(told).toBeGreaterThanOrEqual(before);
  expect(told).toBeLessThanOrEqual(Date.now());
  expect(isCallId(id)).toBe(true);
});

it("only ever grows: 20,000 in one millisecond, and a clock that is set back", () => {
  const start = Date.now() + 1000;
  const ids = Array.from({ length: 20_000 }, () => newCallId(start));
  ids.push(newCallId(start - 60_000), newCallId(start + 60_000));
  expect(ids.toSorted()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
});

it.each([
  undefined,
  "",
  "x",
  1,
  "01A20A60-4827-770B-ACBE-40DC66C6A393",
  "01a20a604827770bacbe40dc66c6a393",
])("is not %s", (value) => expect(isCallId(value)).toBe(false));
