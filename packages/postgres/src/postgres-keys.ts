import { issuerKeySet, type IssuerKeySetOptions } from "@behalf/core";

/** A connection of a member of `behalf_keysync`, by structure. */
export interface KeyClient {
  query(text: string, values: unknown[]): Promise<{ rows: { [column: string]: unknown }[] }>;
}

export interface SyncKeysOptions extends IssuerKeySetOptions {
  /** A connection of the key synchronisation's own login: a gateway must not be able to put keys. */
  readonly client: KeyClient;
}

/**
 * Fetches the issuer's public keys by discovery and puts them into the database, in place of the ones
 * that are there. Run it at a fixed interval that is shorter than the issuer announces new keys ahead.
 *
 * @returns how many keys the database trusts now
 * @throws BehalfError `identity.unavailable` when the issuer cannot be asked; the keys stay as they were
 * @throws BehalfError `configuration` when the issuer's metadata is of another issuer, or not over TLS
 * @example
 * ```ts
 * await syncKeys({ client: keysync, issuer: "https://login.example.com" });
 * ```
 */
export async function syncKeys(options: SyncKeysOptions): Promise<number> {
  const { client, ...issuer } = options;
  const keys = await issuerKeySet(issuer);
  const { rows } = await client.query("select behalf.put_keys($1, $2::pg_catalog.jsonb) as count", [
    issuer.issuer,
    JSON.stringify(keys),
  ]);
  return Number(rows[0]?.["count"]);
}
