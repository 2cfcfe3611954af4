import { readFile } from "node:fs/promises";

import { expect, it } from "vitest";

import * as gateway from "./index.ts";
import { VERSION } from "./version.ts";

it("exports exactly these values", () => {
  expect(Object.keys(gateway).toSorted()).toEqual([
    "declarationProblems",
    "declaredTool",
    "gateway",
    "statementTool",
  ]);
});

it("tells clients its own version", async () => {
  const manifest = await readFile(new URL("../package.json", import.meta.url), "utf8");
  expect(JSON.parse(manifest)).toMatchObject({ version: VERSION });
});
