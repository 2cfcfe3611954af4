import { BehalfError } from "@behalf/core";

/** A connection of a member of `behalf_keysync`, by structure. */
export interface KeyClient {
  query(text: string, values: unknown[]): Promise<{ rows: { [column: string]: unknown }[] }>;
}

export interface SyncKeysOptions {
  /** The issuer, exactly as it stands in `iss`. */
  readonly issuer: string;
  /** A connection of the key synchronisation's own login: a gateway must not be able to put keys. */
  readonly client: KeyClient;
  /** Longest time for each of the two requests, in milliseconds. Default is `10000`. */
  readonly timeoutMs?: number;
  /** For tests, or to go through a proxy. Default is the global `fetch`. */
  readonly fetch?: typeof fetch;
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
  const { client, issuer, timeoutMs = 10_000 } = options;
  const get = options.fetch ?? fetch;
  const metadata = await json(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (metadata["issuer"] !== issuer) {
    throw new BehalfError(
      "configuration",
      `[postgres] the metadata found at ${issuer} is of another issuer; check its spelling, also the trailing slash`,
    );
  }
  const jwksUri = metadata["jwks_uri"];
  if (typeof jwksUri !== "string") {
    throw new BehalfError("configuration", `[postgres] ${issuer} publishes no jwks_uri`);
  }
  const keys = await json(jwksUri);
  const { rows } = await client.query("select behalf.put_keys($1, $2::pg_catalog.jsonb) as count", [
    issuer,
    JSON.stringify(keys),
  ]);
  return Number(rows[0]?.["count"]);

  async function json(address: string): Promise<{ [name: string]: unknown }> {
    const { protocol, hostname } = new URL(address);
    if (protocol !== "https:" && !isLoopback(hostname)) {
      throw new BehalfError(
        "configuration",
        `[postgres] keys are fetched over https only, not from ${protocol}//${hostname}`,
      );
    }
    try {
      // A redirect could lead away from the address that was checked.
      const response = await get(address, {
        redirect: "error",
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (!response.ok) throw new Error(`HTTP ${response.status}`);
      const body: unknown = await response.json();
      if (typeof body !== "object" || body === null) throw new Error("no JSON object");
      return { ...body };
    } catch (error) {
      throw new BehalfError(
        "identity.unavailable",
        `[postgres] ${address} could not be fetched; the keys in the database stay as they were`,
        { cause: error },
      );
    }
  }
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "[::1]" || /^127(\.\d{1,3}){3}$/.test(hostname);
}
