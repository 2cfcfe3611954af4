import { expect, it } from "vitest";

import * as drizzle from "./drizzle.ts";
import * as postgres from "./index.ts";
import * as kysely from "./kysely.ts";

it("exports exactly these values", () => {
  expect(Object.keys(postgres).toSorted()).toEqual([
    "databaseProblems",
    "installKit",
    "postgres",
    "syncKeys",
    "uninstallKit",
  ]);
});

it("exports exactly these values for each query builder", () => {
  expect(Object.keys(drizzle).toSorted()).toEqual(["drizzleFor", "drizzleRun"]);
  expect(Object.keys(kysely).toSorted()).toEqual(["kyselyFor", "queryBuilder"]);
});
