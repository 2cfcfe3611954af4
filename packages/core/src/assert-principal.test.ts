import { expect, it } from "vitest";

import { sampleDelegation } from "../test-support/sample-delegation.ts";
import { assertPrincipal } from "./assert-principal.ts";

const alice = { issuer: "https://a.test", subject: "alice" };

it("lets the human of the delegation pass, and nobody else", () => {
  const delegation = sampleDelegation(alice);
  expect(() => assertPrincipal({ subject: alice }, delegation, "demo")).not.toThrow();
  for (const subject of [
    null,
    { ...alice, subject: "bob" },
    { ...alice, issuer: "https://b.test" },
    { ...alice, subject: "Alice" },
  ]) {
    expect(() => assertPrincipal({ subject }, delegation, "demo")).toThrow(
      expect.objectContaining({ code: "backend.identity_mismatch", backend: "demo" }),
    );
  }
});
