import pg from "pg";

import { embeddedPostgres } from "./embedded-postgres.ts";
import { postgresImage } from "./postgres-image.ts";

export interface TestPostgres {
  /** A superuser's URL. */
  readonly url: string;
  readonly kind: "url" | "container" | "embedded";
  readonly description: string;
  stop(): Promise<void>;
}

type Kind = TestPostgres["kind"];

/**
 * Chooses the server: TEST_POSTGRES_URL, else a container where a Docker daemon answers, else the
 * embedded one. TEST_POSTGRES=url|container|embedded asks for one and fails where it cannot be had, so
 * that a run which is meant to prove the container path cannot fall back in silence.
 * TEST_POSTGRES_VERSION=15|16|17|18 asks for an embedded one of that version.
 */
export async function startTestPostgres(): Promise<TestPostgres> {
  const version = process.env["TEST_POSTGRES_VERSION"] || undefined;
  const wanted = (process.env["TEST_POSTGRES"] ?? (version && "embedded")) as Kind | undefined;
  if (wanted !== undefined && !["url", "container", "embedded"].includes(wanted)) {
    throw new Error(`TEST_POSTGRES must be url, container or embedded, not ${wanted}`);
  }
  if (version !== undefined && wanted !== "embedded") {
    throw new Error("TEST_POSTGRES_VERSION is for the embedded server: TEST_POSTGRES=embedded");
  }
  const url = process.env["TEST_POSTGRES_URL"] || undefined;
  if (wanted === "url" || (wanted === undefined && url !== undefined)) {
    if (url === undefined) throw new Error("TEST_POSTGRES=url needs TEST_POSTGRES_URL");
    return {
      url,
      kind: "url",
      description: `TEST_POSTGRES_URL, ${await versionOf(url).catch((error: unknown) => {
        throw new Error(
          "no connection to TEST_POSTGRES_URL: it must be a superuser's, of a running server",
          {
            cause: error,
          },
        );
      })}`,
      stop: async () => {},
    };
  }
  const docker = wanted !== "embedded" && (await dockerAnswers());
  if (wanted === "container" && !docker) {
    throw new Error("TEST_POSTGRES=container, and no Docker daemon answers; see DOCKER_HOST");
  }
  if (docker) return container();
  return embedded();
}

async function embedded(): Promise<TestPostgres> {
  const server = await embeddedPostgres({ settings: { max_connections: "100" } });
  return {
    url: server.url,
    kind: "embedded",
    description: `embedded, PostgreSQL ${server.version}`,
    stop: () => server.stop(),
  };
}

async function container(): Promise<TestPostgres> {
  const { PostgreSqlContainer } = await import("@testcontainers/postgresql");
  const image = await postgresImage();
  const started = await new PostgreSqlContainer(image).start();
  const url = started.getConnectionUri();
  return {
    url,
    kind: "container",
    description: `container of ${image}, ${await versionOf(url)}`,
    stop: async () => {
      await started.stop();
    },
  };
}

/** testcontainers is loaded only where somebody says there may be a daemon: the import takes a second. */
async function dockerAnswers(): Promise<boolean> {
  const { getContainerRuntimeClient } = await import("testcontainers");
  try {
    await getContainerRuntimeClient();
    return true;
  } catch {
    return false;
  }
}

async function versionOf(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<{ version: string }>("select version()");
    return rows[0]?.version.split(" on ")[0] ?? "unknown version";
  } finally {
    await client.end();
  }
}
