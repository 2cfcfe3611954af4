import { adapterSuite } from "@behalf/conformance";
import { afterAll, describe, expect, it } from "vitest";

import { notesHarness } from "./notes-harness.ts";
import { startParts } from "./notes-parts.ts";

const parts = await startParts(["alice", "bob", "carol"]);
afterAll(() => parts[Symbol.asyncDispose]());

adapterSuite({ describe, it, expect }, notesHarness(parts));
