import { readFile, readdir } from "node:fs/promises";

import { BehalfError } from "@behalf/core";

/** A connection that may create roles and schemas, by structure: a `pg.Client` or a checked-out client. */
export interface AdminClient {
  query(text: string): Promise<unknown>;
}

/** Beside src/ in the repository and beside dist/ in the published package. */
const folder = new URL("../sql/", import.meta.url);

/**
 * Installs the in-database kit, or brings an older one up to date, in one transaction. Keys, roles and
 * settings that are there stay as they are. The same as `psql -f sql/install.sql`.
 *
 * @param client a connection of a superuser, or of who owns the database and has CREATEROLE, outside a transaction
 * @throws BehalfError `configuration` when the client is a pool, or what the server threw, with nothing changed
 * @example
 * ```ts
 * const client = new pg.Client({ connectionString });
 * await client.connect();
 * await installKit(client);
 * ```
 */
export async function installKit(client: AdminClient): Promise<void> {
  const files = (await readdir(folder)).filter((name) => /^\d\d_.+\.sql$/.test(name)).toSorted();
  await inTransaction(
    client,
    await Promise.all(files.map((name) => readFile(new URL(name, folder), "utf8"))),
  );
}

/**
 * Removes the kit: guards, schemas and the kit's own roles. Agent roles and gateway logins stay.
 *
 * @param client a superuser's connection, outside a transaction
 * @throws what the server threw, with nothing changed: it refuses while policies of yours still use the kit
 */
export async function uninstallKit(client: AdminClient): Promise<void> {
  await inTransaction(client, [await readFile(new URL("uninstall.sql", folder), "utf8")]);
}

async function inTransaction(client: AdminClient, texts: readonly string[]): Promise<void> {
  if ("totalCount" in client) {
    throw new BehalfError(
      "configuration",
      "[postgres] the kit needs one connection, not a pool: pass a pg.Client or a checked-out client",
    );
  }
  await client.query("begin");
  try {
    for (const text of texts) await client.query(text);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}
