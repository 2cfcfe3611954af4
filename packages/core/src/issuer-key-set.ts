import type { JSONWebKeySet } from "jose";
import { boundedFetch, FetchFailure, type Fetch } from "./bounded-fetch.ts";
import { BehalfError } from "./errors.ts";
import { identityRefused } from "./identity-refusal.ts";
import { discoverIssuer } from "./issuer-metadata.ts";
import { issuerUrl, secureUrl } from "./issuer-url.ts";
import { isJsonObject } from "./json-object.ts";

export interface IssuerKeySetOptions {
  /** Letter by letter as in `iss`. https, or http to this machine itself. */
  readonly issuer: string;
  /** Time limit of each request, in milliseconds. Default is `10000`. */
  readonly timeoutMs?: number;
  /** Default is the global `fetch`. */
  readonly fetch?: Fetch;
}

/**
 * An issuer's published keys, once, by discovery: for those who put them elsewhere, such as a database.
 *
 * @throws BehalfError `identity.unavailable` (reason `metadata` or `keys`), `configuration`
 * @example
 * ```ts
 * const { keys } = await issuerKeySet({ issuer: "https://login.example.com" });
 * ```
 */
export async function issuerKeySet(options: IssuerKeySetOptions): Promise<JSONWebKeySet> {
  const { issuer } = options;
  issuerUrl(issuer, false);
  const fetch = boundedFetch(options.timeoutMs ?? 10_000, options.fetch);
  return fetchKeySet(await discoverKeysUri(issuer, false, fetch), issuer, fetch);
}

/** Where the issuer's metadata says that its keys are. */
export async function discoverKeysUri(
  issuer: string,
  allowPlainHttp: boolean,
  fetch: Fetch,
): Promise<string> {
  const uri = (await discoverIssuer(issuer, fetch)).jwks_uri;
  if (uri === undefined) {
    throw new BehalfError("configuration", `the metadata of ${issuer} names no jwks_uri`);
  }
  secureUrl(`the jwks_uri of ${issuer}`, uri, allowPlainHttp);
  return uri;
}

export async function fetchKeySet(
  uri: string,
  issuer: string,
  fetch: Fetch,
): Promise<JSONWebKeySet> {
  let what = "not a JSON Web Key Set";
  try {
    const headers = { accept: "application/jwk-set+json, application/json" };
    const response = await fetch(uri, { method: "GET", headers });
    if (response.status !== 200) throw new FetchFailure(`HTTP ${response.status}`);
    const answer: unknown = await response.json();
    if (isKeySet(answer)) return answer;
  } catch (error) {
    if (error instanceof FetchFailure) what = error.what;
  }
  throw identityRefused("keys", `the keys of the issuer ${issuer} cannot be had: ${what}`, what);
}

// All that createLocalJWKSet asks of a set; whoever uses a key checks the key.
function isKeySet(value: unknown): value is JSONWebKeySet {
  return isJsonObject(value) && Array.isArray(value["keys"]) && value["keys"].every(isJsonObject);
}
