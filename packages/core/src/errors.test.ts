import { expect, it } from "vitest";
import { BehalfError } from "./errors.ts";

it("is recognised across copies of the package, by its marker", () => {
  const other = Object.assign(new Error("x"), { [Symbol.for("behalf.error")]: true });
  expect(BehalfError.isInstance(new BehalfError("closed", "x"))).toBe(true);
  expect(BehalfError.isInstance(other)).toBe(true);
  for (const value of [new Error("x"), { code: "closed" }, null, undefined, "closed"]) {
    expect(BehalfError.isInstance(value)).toBe(false);
  }
});

it("is keyed on its call once, and keeps all facts", () => {
  const cause = new Error("beneath");
  const facts = { reason: "r", nativeCode: "42501", effect: "unknown", cause } as const;
  const first = new BehalfError("backend.denied", "no", facts);
  const second = first.forCall("call-1", "postgres").forCall("call-2", "other");
  expect(second).toMatchObject({ ...facts, code: "backend.denied", message: "no" });
  expect([second.callId, second.backend, second.stack]).toEqual([
    "call-1",
    "postgres",
    first.stack,
  ]);
  expect(first.callId).toBeUndefined();
});
