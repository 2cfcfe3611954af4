import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    reporters: ["default"],
    projects: [
      {
        test: {
          name: "unit",
          // The default leaves one core of two to nobody, and takes twice as long.
          maxWorkers: 2,
          include: ["packages/*/src/**/*.test.ts", "examples/*/src/**/*.test.ts"],
          testTimeout: 30_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          globalSetup: ["test/support/global-postgres.ts"],
          // Roles belong to the whole server: two files that install and remove the kit at once would meet.
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
