// The suite under node:test, which has no `expect` of its own: run by runners.test.ts with `node --test`.
import { deepStrictEqual } from "node:assert";
import { describe, it } from "node:test";

import { adapterSuite } from "../src/index.ts";
import { memoryHarness } from "../src/memory/index.ts";

const expect = (actual: unknown) => ({
  toEqual: (expected: unknown) => deepStrictEqual(actual, expected),
});

adapterSuite({ describe, it, expect }, memoryHarness(), { interleavings: 200 });
