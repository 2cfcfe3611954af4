import { expect, it } from "vitest";

import * as policy from "./index.ts";

it("exports these names, and no others", () => {
  expect(Object.keys(policy).toSorted()).toEqual([
    "PolicyError",
    "emitPostgresRead",
    "lowerPolicies",
    "parsePolicies",
  ]);
});
