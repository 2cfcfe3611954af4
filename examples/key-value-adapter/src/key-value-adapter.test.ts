import { adapterSuite } from "@behalf/conformance";
import { afterAll, describe, expect, it } from "vitest";

import { keyValueHarness } from "./key-value-harness.ts";
import { startParts } from "./key-value-parts.ts";

const parts = await startParts(["alice", "bob", "carol"]);
afterAll(() => parts[Symbol.asyncDispose]());

adapterSuite({ describe, it, expect }, keyValueHarness(parts));
