import { fileURLToPath } from "node:url";

import pg from "pg";
import { describe, expect, inject, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Where there is no Docker daemon, the run says so: this group is skipped by name. */
describe.skipIf(inject("postgresKind") !== "container")(
  "docker/postgres (needs a Docker daemon)",
  () => {
    it("builds an image that comes up with the kit installed", { timeout: 300_000 }, async () => {
      const { GenericContainer, Wait } = await import("testcontainers");
      const image = await GenericContainer.fromDockerfile(
        root,
        "docker/postgres/Dockerfile",
      ).build();
      const container = await image
        .withEnvironment({ POSTGRES_DB: "shop", POSTGRES_PASSWORD: "for-this-test" })
        .withExposedPorts(5432)
        .withWaitStrategy(Wait.forListeningPorts())
        .start();
      try {
        const client = new pg.Client({
          host: container.getHost(),
          port: container.getMappedPort(5432),
          user: "postgres",
          password: "for-this-test",
          database: "shop",
        });
        await client.connect();
        try {
          const { rows } = await client.query("select behalf.version() as version");
          expect(rows).toEqual([{ version: 2 }]);
        } finally {
          await client.end();
        }
      } finally {
        await container.stop();
      }
    });
  },
);
