import { embeddedPostgres } from "./embedded-postgres.ts";

// For .ci/run: whether the server that TEST_POSTGRES_VERSION asks for can be had here.
try {
  await using server = await embeddedPostgres();
  console.log(`PostgreSQL ${server.version}`);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
