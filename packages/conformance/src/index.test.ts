import { expect, it } from "vitest";

import * as conformance from "./index.ts";
import * as memory from "./memory/index.ts";

it("exports these names, and no others", () => {
  expect(Object.keys(conformance).toSorted()).toEqual([
    "CASES",
    "GROUPS",
    "adapterSuite",
    "reportText",
    "runConformance",
  ]);
  expect(Object.keys(memory).toSorted()).toEqual([
    "MemoryBackendError",
    "memoryAdapter",
    "memoryBackend",
    "memoryCapabilities",
    "memoryHarness",
    "memoryIssuer",
  ]);
});
