import { createLocalJWKSet, errors, type CryptoKey } from "jose";
import type { Fetch } from "./bounded-fetch.ts";
import { identityRefused } from "./identity-refusal.ts";
import { discoverKeysUri, fetchKeySet } from "./issuer-key-set.ts";

/** Least time between two fetches of one key set. What a flood of unknown key ids costs at most. */
export const KEY_COOLDOWN_MS = 5000;

/** How long a discovered `jwks_uri` is believed. */
const METADATA_MAX_AGE_MS = 3_600_000;

export interface IssuerKeysOptions {
  readonly issuer: string;
  /** Default is the one that the issuer's metadata names. */
  readonly jwksUri?: string | undefined;
  /** Keys older than this are fetched again before they are used. */
  readonly refreshMs: number;
  /** Keys older than this are not used, also when they cannot be fetched. */
  readonly maxAgeMs: number;
  readonly allowPlainHttp: boolean;
  readonly fetch: Fetch;
  readonly now: () => number;
}

/** The published keys of one issuer. */
export interface IssuerKeys {
  /**
   * The one key that a token's header names.
   *
   * @throws BehalfError `identity.rejected` (reason `unknown_key`), `identity.unavailable`, `configuration`
   */
  find(header: { readonly alg: string; readonly kid: string | undefined }): Promise<CryptoKey>;
}

interface Keys {
  readonly find: ReturnType<typeof createLocalJWKSet>;
  readonly fetchedAtMs: number;
}

/**
 * Key selection is jose's. When keys are fetched is decided here, because `createRemoteJWKSet` does not
 * cool down after a FAILED fetch (an outage would turn every call into a request), drops all keys the
 * moment they are stale, and does not limit the answer.
 */
export function issuerKeys(options: IssuerKeysOptions): IssuerKeys {
  const { issuer, now, fetch } = options;
  let keys: Keys | undefined;
  let failure: { readonly error: unknown; readonly atMs: number } | undefined;
  let pending: Promise<void> | undefined;
  let discovered: { readonly uri: string; readonly atMs: number } | undefined;

  async function keysUri(): Promise<string> {
    if (options.jwksUri !== undefined) return options.jwksUri;
    if (discovered === undefined || !isWithin(discovered.atMs, METADATA_MAX_AGE_MS)) {
      const uri = await discoverKeysUri(issuer, options.allowPlainHttp, fetch);
      discovered = { uri, atMs: now() };
    }
    return discovered.uri;
  }

  async function load(): Promise<void> {
    try {
      const find = createLocalJWKSet(await fetchKeySet(await keysUri(), issuer, fetch));
      keys = { find, fetchedAtMs: now() };
      failure = undefined;
    } catch (error) {
      failure = { error, atMs: now() };
      // The key set may have moved.
      discovered = undefined;
    }
  }

  /** One fetch at a time; everybody who needs it waits for the same one. */
  function refresh(): Promise<void> {
    pending ??= load().finally(() => {
      pending = undefined;
    });
    return pending;
  }

  function isWithin(sinceMs: number, spanMs: number): boolean {
    const ageMs = now() - sinceMs;
    // A clock that was set back makes an age negative. Unknown age counts as too old.
    return ageMs >= 0 && ageMs < spanMs;
  }

  function mayFetch(): boolean {
    return (
      pending !== undefined ||
      ((failure === undefined || !isWithin(failure.atMs, KEY_COOLDOWN_MS)) &&
        (keys === undefined || !isWithin(keys.fetchedAtMs, KEY_COOLDOWN_MS)))
    );
  }

  function usable(): Keys {
    if (keys !== undefined && isWithin(keys.fetchedAtMs, options.maxAgeMs)) return keys;
    throw failure?.error ?? identityRefused("keys", `the keys of ${issuer} are too old`);
  }

  return {
    async find(header) {
      const isFresh = keys !== undefined && isWithin(keys.fetchedAtMs, options.refreshMs);
      if (!isFresh && mayFetch()) await refresh();
      const tried = usable();
      const key = await select(tried, header);
      if (key !== undefined) return key;
      // Perhaps the issuer has a new key. Others may have fetched it meanwhile.
      if (keys === tried && mayFetch()) await refresh();
      const again = keys === tried ? undefined : await select(usable(), header);
      if (again !== undefined) return again;
      // With the issuer out of reach nobody can say that this key does not exist.
      if (failure !== undefined) throw failure.error;
      throw identityRefused("unknown_key", `${issuer} publishes no single key of that kid and alg`);
    },
  };
}

async function select(
  keys: Keys,
  { alg, kid }: { readonly alg: string; readonly kid: string | undefined },
): Promise<CryptoKey | undefined> {
  try {
    return await keys.find({ alg, ...(kid === undefined ? {} : { kid }) });
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey) return undefined;
    // Several keys match, or the one that matches is no usable public key: fetching again is no help.
    throw identityRefused(
      "unknown_key",
      "the issuer's key set does not name exactly one usable key",
    );
  }
}
