import { BehalfError } from "@behalf/core";
import { expect, it } from "vitest";

import { toolError } from "./tool-error.ts";

it("tells the agent nothing about an error that is not ours", () => {
  const { error } = toolError(new Error("password=hunter2"), "id");
  expect(error).toMatchObject({ code: "internal", retry: false, call_id: "id" });
  expect(JSON.stringify(error)).not.toContain("hunter2");
});

it.each(["configuration", "backend.identity_mismatch", "records.unavailable"] as const)(
  "keeps the message of %s for the operator",
  (code) => {
    const { error } = toolError(new BehalfError(code, "role shop_owner at 10.0.0.1"));
    expect(error.message).toBe("the gateway is not able to serve this call");
  },
);

it.each([
  ["limit.exceeded", undefined, true, /fewer at once/],
  ["timeout", undefined, false, /smaller question/],
  ["backend.unavailable", "57P01", true, /Try again/],
  ["backend.failed", "40001", true, /same call again/],
  ["backend.failed", "23514", false, /what the table allows/],
  ["backend.failed", "23P01", false, /constraints/],
  ["backend.failed", "22003", false, /does not fit/],
  ["backend.denied", "42501", false, /does not let this human/],
  ["statement.refused", "42P11", false, /one statement at a time/],
  ["identity.revoked", "ZB004", false, /withdrawn/],
  ["cancelled", undefined, false, /cancelled/],
] as const)("advises on %s %s", (code, nativeCode, retry, advice) => {
  const facts = nativeCode === undefined ? {} : { nativeCode };
  const { error } = toolError(new BehalfError(code, "[postgres] what the server said", facts));
  expect(error).toMatchObject({ code, message: "what the server said", retry });
  expect(error.advice).toMatch(advice);
});

it("sends nobody to correct a write that a standby refused", () => {
  const facts = { reason: "standby", nativeCode: "0A000" };
  const { error } = toolError(new BehalfError("backend.unavailable", "no", facts), "id", "write");
  expect(error).toMatchObject({ code: "backend.unavailable", retry: true });
  expect(error.advice).toContain("only reads at the moment");
});

it("warns before a write is repeated whose answer was lost", () => {
  const lost = new BehalfError("backend.unavailable", "lost", { effect: "unknown" });
  expect(toolError(lost).error).toMatchObject({ effect: "unknown", retry: false });
});
