import { describe, expect, it } from "vitest";

import { adapterSuite } from "../adapter-suite.ts";
import { memoryHarness } from "./memory-harness.ts";

adapterSuite({ describe, it, expect }, memoryHarness());
