import type { TestProject } from "vitest/node";

import { startTestPostgres, type TestPostgres } from "./test-postgres.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly postgresUrl: string;
    readonly postgresKind: string;
  }
}

let server: TestPostgres | undefined;

/** One server for all integration tests of a run; every test file makes a database of its own on it. */
export async function setup(project: TestProject): Promise<void> {
  server = await startTestPostgres();
  console.log(`\nPostgreSQL for the integration tests: ${server.description}\n`);
  project.provide("postgresUrl", server.url);
  project.provide("postgresKind", server.kind);
}

export async function teardown(): Promise<void> {
  await server?.stop();
}
