import { compactVerify } from "jose";
import { identityOf, type ClaimRules } from "./access-token-claims.ts";
import { boundedFetch, type Fetch } from "./bounded-fetch.ts";
import { parseCompactToken, type UnverifiedToken } from "./compact-token.ts";
import { BehalfError } from "./errors.ts";
import { identityCache } from "./identity-cache.ts";
import type { Identity, SubjectRef } from "./identity.ts";
import { identityRefused } from "./identity-refusal.ts";
import { numberOption, textOption } from "./option-checks.ts";
import { trustedIssuers, type ReadyIssuer, type TrustedIssuer } from "./trusted-issuer.ts";

export interface IdentityVerifierOptions {
  /** The issuers whose tokens are accepted. There is no default. */
  readonly issuers: readonly TrustedIssuer[];
  /** What `aud` must contain: the name that the issuer has for this gateway. */
  readonly audience: string;
  /** How far `nbf` and `iat` may lie in the future. `exp` has no tolerance. Default is `5`. */
  readonly clockToleranceSeconds?: number;
  /** Longest time since `iat`. Default is none: `exp` alone decides. */
  readonly maxTokenAgeSeconds?: number;
  /** Longest token, in bytes. Default is `16384`: Node refuses HTTP headers above 16 KiB anyway. */
  readonly maxTokenBytes?: number;
  /** Most links of the `act` chain. Default is `8`. */
  readonly maxActors?: number;
  /** Whether a human who acts alone is refused. Default is `false`. */
  readonly requireActor?: boolean;
  /**
   * Longest time that a verified token is believed without looking at its signature again; `0` turns
   * the cache off. Default is `60`: a key that the issuer withdraws is out of use after
   * `keyRefreshSeconds` plus this, and at one verification a minute the signature costs nothing.
   */
  readonly maxCacheSeconds?: number;
  /** Most verified tokens that are kept. Default is `4096`, at a few kB each. */
  readonly maxCachedTokens?: number;
  /** Age at which an issuer's keys are fetched again. Default is `300`. */
  readonly keyRefreshSeconds?: number;
  /**
   * Longest time that keys are used while the issuer cannot be reached; then every token is refused
   * with `identity.unavailable`. Default is `3600`.
   */
  readonly keyMaxAgeSeconds?: number;
  /** Time limit of one request to an issuer, in milliseconds. Default is `3000`. */
  readonly fetchTimeoutMs?: number;
  /** Default is the global `fetch`. */
  readonly fetch?: Fetch;
  /** Milliseconds since the epoch. Default is `Date.now`. */
  readonly now?: () => number;
  /**
   * Accepts issuers and key sets over plain http on any host. Whoever is on the way can then replace
   * the keys and be any human. Default is `false`; loopback hosts need no option.
   */
  readonly dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback?: boolean;
}

/** Turns a token into a verified {@link Identity}. Safe to share between all calls of a process. */
export interface IdentityVerifier {
  /**
   * @throws BehalfError `identity.*` with an {@link IdentityRefusal} as its `reason`; `configuration` when
   *   the issuer's metadata names another issuer; `closed`
   */
  verify(token: string | undefined | null): Promise<Identity>;
  /**
   * Drops this human's cached tokens. One that is still good verifies again: stopping a human is the
   * issuer's and the backend's part.
   */
  invalidate(subject: SubjectRef): void;
  /** Drops everything; later calls are refused. Safe to call twice. */
  close(): void;
}

/**
 * Verifies RFC 9068 access tokens: allow-listed issuers, their published keys, asymmetric algorithms,
 * `typ`, `aud`, times, the required claims, the `act` chain and `may_act`. `jwk`, `jku`, `x5c` and `x5u`
 * headers are ignored: keys come from the issuer only.
 *
 * One issuer gets at most one key request at a time and one in 5 s, however many unknown key ids
 * arrive. A new key is therefore accepted at once, or 5 s after the last request.
 *
 * @throws BehalfError `configuration`
 * @example
 * ```ts
 * const verifier = identityVerifier({
 *   issuers: [{ issuer: "https://login.example.com", algorithms: ["RS256"] }],
 *   audience: "https://gateway.example.com",
 * });
 * const alice = await verifier.verify(bearerToken);
 * alice.subject; // the human
 * alice.actors[0]?.subject; // who acts for her
 * ```
 */
export function identityVerifier(options: IdentityVerifierOptions): IdentityVerifier {
  const now = options.now ?? Date.now;
  const maxTokenBytes = numberOption("maxTokenBytes", options.maxTokenBytes, 16_384, 1);
  const maxAgeSeconds = options.maxTokenAgeSeconds;
  const rules: ClaimRules = {
    audience: textOption("audience", options.audience),
    clockToleranceMs:
      1000 * numberOption("clockToleranceSeconds", options.clockToleranceSeconds, 5),
    maxTokenAgeMs:
      maxAgeSeconds === undefined
        ? undefined
        : 1000 * numberOption("maxTokenAgeSeconds", maxAgeSeconds, 0),
    maxActors: numberOption("maxActors", options.maxActors, 8),
    requireActor: options.requireActor ?? false,
  };
  const issuers = trustedIssuers(options.issuers, {
    refreshMs: 1000 * numberOption("keyRefreshSeconds", options.keyRefreshSeconds, 300, 1),
    maxAgeMs: 1000 * numberOption("keyMaxAgeSeconds", options.keyMaxAgeSeconds, 3600, 1),
    allowPlainHttp: options.dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback ?? false,
    fetch: boundedFetch(
      numberOption("fetchTimeoutMs", options.fetchTimeoutMs, 3000, 1),
      options.fetch,
    ),
    now,
  });
  const cache = identityCache({
    maxEntries: numberOption("maxCachedTokens", options.maxCachedTokens, 4096),
    maxAgeMs: 1000 * numberOption("maxCacheSeconds", options.maxCacheSeconds, 60),
    now,
  });
  let isClosed = false;

  async function verifySignature(token: string): Promise<Readonly<Record<string, unknown>>> {
    const { header, payload } = parseCompactToken(token);
    const { issuer, algorithm, keyId } = route(header, payload, issuers);
    const key = await issuer.keys.find({ alg: algorithm, kid: keyId });
    try {
      await compactVerify(token, key, { algorithms: [algorithm] });
    } catch {
      // jose's errors can carry what they looked at, so none of them becomes a cause.
      throw identityRefused("signature", "the token's signature is wrong");
    }
    return payload;
  }

  return {
    async verify(token) {
      if (isClosed) throw new BehalfError("closed", "the identity verifier is closed");
      if (token === undefined || token === null || token === "") {
        throw identityRefused(
          "missing",
          "no token came with the call; send the human's access token",
        );
      }
      if (typeof token !== "string")
        throw identityRefused("malformed", "the token is not a string");
      if (token.length > maxTokenBytes) {
        throw identityRefused("too_large", `the token is longer than ${maxTokenBytes} bytes`);
      }
      const cached = cache.get(token);
      if (cached !== undefined) return cached;
      const { epoch } = cache;
      const identity = identityOf(token, await verifySignature(token), rules, now());
      cache.set(token, identity, epoch);
      return identity;
    },
    invalidate: (subject) => cache.invalidate(subject),
    close() {
      isClosed = true;
      cache.clear();
    },
  };
}

/** Which key set is asked, by what the token says of itself. Proven afterwards, by the signature. */
function route(
  header: UnverifiedToken["header"],
  payload: UnverifiedToken["payload"],
  issuers: ReadonlyMap<string, ReadyIssuer>,
): { issuer: ReadyIssuer; algorithm: string; keyId: string | undefined } {
  const issuer = typeof payload["iss"] === "string" ? issuers.get(payload["iss"]) : undefined;
  if (issuer === undefined) {
    throw identityRefused("issuer", "the token's issuer is not one of the configured ones");
  }
  const { alg: algorithm, kid: keyId, typ } = header;
  if (typeof algorithm !== "string" || !issuer.algorithms.includes(algorithm)) {
    throw identityRefused("algorithm", `the token's algorithm is not allowed for ${issuer.issuer}`);
  }
  if (Object.hasOwn(header, "crit")) {
    throw identityRefused("critical_header", "the token has a crit header, and none is understood");
  }
  if (typeof typ !== "string" || !/^(application\/)?at\+jwt$/i.test(typ)) {
    throw identityRefused(
      "type",
      "the token's typ is not at+jwt: it is no access token of RFC 9068",
    );
  }
  if (keyId !== undefined && typeof keyId !== "string") {
    throw identityRefused("malformed", "the token's kid is not a string");
  }
  return { issuer, algorithm, keyId };
}
