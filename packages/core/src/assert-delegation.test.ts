import { describe, expect, it } from "vitest";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import { assertDelegation } from "./assert-delegation.ts";
import type { Delegation } from "./delegation.ts";

const good = sampleDelegation();

it("accepts a delegation, with a task and without", () => {
  assertDelegation(good);
  const typed: Delegation = good;
  expect(typed.identity.subject).toBe("alice");
  assertDelegation(sampleDelegation({ task: {} }));
});

describe("refuses", () => {
  const identity = (more: object) => ({ ...good, identity: { ...good.identity, ...more } });

  it.each([
    ["nothing", undefined, "identity.missing"],
    ["null", null, "identity.missing"],
    ["a token", "eyJ", "identity.rejected"],
    ["a list", [good], "identity.rejected"],
    ["no call id", { ...good, callId: undefined }, "identity.rejected"],
    ["a call id of text", { ...good, callId: "'; drop table x" }, "identity.rejected"],
    ["no identity", { callId: good.callId }, "identity.rejected"],
    ["an empty subject", identity({ subject: "" }), "identity.rejected"],
    ["a long subject", identity({ subject: "a".repeat(1025) }), "identity.rejected"],
    ["a subject with a NUL", identity({ subject: "a\0" }), "identity.rejected"],
    [
      "a subject that is an object",
      identity({ subject: { toString: () => "a" } }),
      "identity.rejected",
    ],
    ["no issuer", identity({ issuer: undefined }), "identity.rejected"],
    ["no list of actors", identity({ actors: undefined }), "identity.rejected"],
    ["a token that is text", identity({ token: "eyJ" }), "identity.rejected"],
    ["no end", identity({ expiresAtMs: undefined }), "identity.rejected"],
    ["an end that is no number", identity({ expiresAtMs: Number.NaN }), "identity.rejected"],
    ["a human whose time is over", identity({ expiresAtMs: Date.now() }), "identity.expired"],
    ["a task that is over", sampleDelegation({ task: { expiresAtMs: 1 } }), "task.scope_exceeded"],
    ["a task without an id", sampleDelegation({ task: { id: "" } }), "identity.rejected"],
    ["a task that is null", { ...good, task: null }, "identity.rejected"],
  ])("%s", (_name, value, code) => {
    expect(() => assertDelegation(value)).toThrow(expect.objectContaining({ code }));
  });

  it("by the clock that it is given", () => {
    assertDelegation(good, good.identity.expiresAtMs - 1);
    expect(() => assertDelegation(good, good.identity.expiresAtMs)).toThrow(
      expect.objectContaining({ code: "identity.expired", callId: good.callId }),
    );
  });
});
