import { BehalfError } from "@behalf/core";
import { expect, it } from "vitest";

import { bearerToken, refusal } from "./bearer.ts";

const METADATA = "https://gateway.example.com/.well-known/oauth-protected-resource/mcp";

it.each([
  ["Bearer abc.def-_~+/==", "abc.def-_~+/=="],
  ["bearer  abc", "abc"],
  ["BEARER abc ", "abc"],
  ["Bearer", undefined],
  ["Bearer ", undefined],
  ["Bearer a b", undefined],
  ['Bearer "abc"', undefined],
  ["Basic abc", undefined],
  ["abc", undefined],
  [undefined, undefined],
])("reads %s", (header, token) => {
  expect(bearerToken(header)).toBe(token);
});

it("says nothing about a fault in the set-up", () => {
  for (const error of [new Error("secret"), new BehalfError("configuration", "secret")]) {
    const refused = refusal(error, METADATA);
    expect(refused).toMatchObject({ status: 500, headers: {} });
    expect(JSON.stringify(refused)).not.toContain("secret");
  }
});

it("lets no front door write into the header", () => {
  const reason = 'x", realm="evil"\r\nset-cookie: a=b';
  const refused = refusal(new BehalfError("identity.rejected", "no", { reason }), METADATA);
  expect(refused.headers["www-authenticate"]).toBe(
    `Bearer resource_metadata="${METADATA}", error="invalid_token", error_description="identity.rejected"`,
  );
});
