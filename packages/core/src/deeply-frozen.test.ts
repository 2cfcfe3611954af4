import { expect, it } from "vitest";
import { isDeeplyFrozen } from "./deeply-frozen.ts";
import { Secret } from "./secret.ts";

const { freeze } = Object;

it.each([
  ["text", "a"],
  ["nothing", undefined],
  ["null", null],
  ["an empty list", freeze([])],
  ["what is frozen to its leaves", freeze({ a: freeze([freeze({ b: 1 })]) })],
  ["a secret", freeze({ token: new Secret("t") })],
])("is so for %s", (_name, value) => {
  expect([isDeeplyFrozen(value), isDeeplyFrozen(value)]).toEqual([true, true]);
});

it.each([
  ["what is not frozen", {}],
  ["what holds a part that is not", freeze({ a: freeze([{}]) })],
  ["an accessor", freeze(Object.defineProperty({}, "a", { get: () => 1 }))],
  ["a function", freeze(() => 1)],
  ["a map", freeze(new Map())],
  ["a date", freeze(new Date())],
  ["an object that inherits", freeze(Object.create({ a: 1 }))],
  ["a secret of another kind", freeze(new (class extends Secret {})("t"))],
])("is not so for %s", (_name, value) => {
  expect([isDeeplyFrozen(value), isDeeplyFrozen(value)]).toEqual([false, false]);
});

it("holds for a secret because nobody can put another reveal on it", () => {
  const secret = new Secret("t");
  expect(() => Object.assign(secret, { reveal: () => "other" })).toThrow(TypeError);
});
