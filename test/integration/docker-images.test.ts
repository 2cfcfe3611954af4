import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import pg from "pg";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { runCommand } from "../support/command-run.ts";
import { composeFile, dockerFolder } from "../support/compose-file.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));
const { services } = composeFile({ BEHALF_SECRETS: "/secrets" });

/** Builds what compose.yaml builds, as far as the images that it is made of are on this machine. */
describe.skipIf(inject("postgresKind") !== "container")(
  "the images of docker/compose.yaml (need a Docker daemon)",
  () => {
    let folder: string;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "behalf-images-"));
      const run = runCommand(join(dockerFolder, "make-secrets.sh"), [join(folder, "secrets")], {});
      await run.ended;
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    it.for([
      ["pgbouncer", "pgbouncer --version"],
      ["gateway", "node /app/packages/cli/src/main.ts --version"],
      ["openid", "test -e /app/docker/openid/openid.ts"],
      ["keysync", "test -e /app/docker/keysync/keysync.ts"],
    ])(
      "builds %s, which does not run as root",
      { timeout: 600_000 },
      async ([service = "", command = ""], { skip }) => {
        const { GenericContainer, Wait } = await import("testcontainers");
        const { dockerfile = "" } = services[service]?.build ?? {};
        const base = /^FROM (\S+)/m.exec(readFileSync(join(root, dockerfile), "utf8"))?.[1] ?? "";
        if (!(await isHere(base))) {
          console.log(`SKIPPED: the image of ${service}, because ${base} is not on this machine`);
          skip(`${base} is not on this machine`);
        }
        const image = await GenericContainer.fromDockerfile(root, dockerfile).build();
        const container = await image
          .withEntrypoint(["sh"])
          .withCommand(["-c", `test "$(id -u)" != 0 && ${command}`])
          .withWaitStrategy(Wait.forOneShotStartup())
          .start();
        expect(container.getId()).not.toBe("");
        await container.stop();
      },
    );

    it("makes the shop, and gives its logins their passwords", { timeout: 300_000 }, async () => {
      const { GenericContainer, Wait } = await import("testcontainers");
      const { build, volumes = [], secrets = [], environment = {} } = services["postgres"] ?? {};
      const image = await GenericContainer.fromDockerfile(root, build?.dockerfile ?? "").build();
      const secret = (name: string) => join(folder, "secrets", name);
      const mounted = volumes.filter((volume) => volume.startsWith("./"));
      const container = await image
        .withEnvironment({
          POSTGRES_DB: "shop",
          POSTGRES_PASSWORD: readFileSync(secret("postgres_password"), "utf8"),
          PGOPTIONS: environment["PGOPTIONS"] ?? "",
        })
        .withCopyFilesToContainer([
          ...mounted.map((volume) => {
            const [source = "", target = ""] = volume.split(":");
            return { source: join(dockerFolder, source), target };
          }),
          ...secrets.map((name) => ({
            source: secret(name),
            target: `/run/secrets/${name}`,
            mode: 0o444,
          })),
        ])
        .withExposedPorts(5432)
        .withWaitStrategy(Wait.forListeningPorts())
        .start();
      try {
        const client = new pg.Client({
          host: container.getHost(),
          port: container.getMappedPort(5432),
          user: "shop_gateway",
          password: readFileSync(secret("sandbox_password"), "utf8"),
          database: "shop",
        });
        await client.connect();
        try {
          const { rows } = await client.query("select problem from behalf.preflight(3)");
          // The key synchronisation has not run.
          expect(rows).toEqual([{ problem: "no issuer has a key: see behalf.put_keys()" }]);
        } finally {
          await client.end();
        }
      } finally {
        await container.stop();
      }
    });
  },
);

/** Whether a build can begin without a registry. */
async function isHere(image: string): Promise<boolean> {
  const { getContainerRuntimeClient, ImageName } = await import("testcontainers");
  const client = await getContainerRuntimeClient();
  return client.image.exists(ImageName.fromString(image));
}
