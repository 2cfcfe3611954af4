import { expect, it } from "vitest";
import * as local from "./index.ts";

it("exports these names", () => {
  expect(Object.keys(local).toSorted()).toEqual([
    "LOCAL_SIGN_IN",
    "startOpenIdProvider",
    "startPostgres",
  ]);
});
