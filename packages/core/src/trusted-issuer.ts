import type { Fetch } from "./bounded-fetch.ts";
import { BehalfError } from "./errors.ts";
import { issuerKeys, type IssuerKeys, type IssuerKeysOptions } from "./issuer-keys.ts";
import { issuerUrl, secureUrl } from "./issuer-url.ts";

/** Every signature algorithm that a verifier can allow: asymmetric ones only. */
export const SIGNATURE_ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
] as const;

/** One of {@link SIGNATURE_ALGORITHMS}. */
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number];

const KNOWN: ReadonlySet<string> = new Set(SIGNATURE_ALGORITHMS);

/** What the issuers that people use sign with: RS256 nearly everywhere, the others where chosen. */
const DEFAULT_ALGORITHMS: readonly SignatureAlgorithm[] = ["RS256", "PS256", "ES256", "EdDSA"];

/** An issuer whose tokens are accepted. */
export interface TrustedIssuer {
  /** JWT `iss`, letter by letter. https, or http on a loopback host. */
  readonly issuer: string;
  /** Default is `["RS256", "PS256", "ES256", "EdDSA"]`. */
  readonly algorithms?: readonly SignatureAlgorithm[];
  /** Where its keys are. Default is what its metadata says (RFC 8414, then OpenID Connect Discovery). */
  readonly jwksUri?: string;
}

/** An issuer that is ready to be asked. */
export interface ReadyIssuer {
  readonly issuer: string;
  readonly algorithms: readonly string[];
  readonly keys: IssuerKeys;
}

/**
 * Checks the allow-list of issuers and makes a key set for each.
 *
 * @throws BehalfError `configuration` for an empty list, one issuer twice, a URL that is not secure, an
 *   algorithm that is unknown or symmetric
 */
export function trustedIssuers(
  list: readonly TrustedIssuer[],
  shared: Omit<IssuerKeysOptions, "issuer" | "jwksUri"> & { readonly fetch: Fetch },
): ReadonlyMap<string, ReadyIssuer> {
  const ready = new Map<string, ReadyIssuer>();
  for (const { issuer, algorithms = DEFAULT_ALGORITHMS, jwksUri } of list) {
    issuerUrl(issuer, shared.allowPlainHttp);
    if (ready.has(issuer)) {
      throw new BehalfError("configuration", `issuers names ${issuer} twice`);
    }
    if (jwksUri !== undefined) {
      secureUrl(`the jwksUri of ${issuer}`, jwksUri, shared.allowPlainHttp);
    }
    checkAlgorithms(issuer, algorithms);
    const keys = issuerKeys({ ...shared, issuer, jwksUri });
    ready.set(issuer, { issuer, algorithms: [...algorithms], keys });
  }
  if (ready.size === 0) {
    throw new BehalfError("configuration", "issuers must name at least one issuer");
  }
  return ready;
}

function checkAlgorithms(issuer: string, algorithms: readonly string[]): void {
  if (algorithms.length === 0) {
    throw new BehalfError("configuration", `algorithms of ${issuer} must name at least one`);
  }
  const refused = algorithms.find((name) => !KNOWN.has(name));
  if (refused !== undefined) {
    throw new BehalfError(
      "configuration",
      `algorithms of ${issuer} names ${JSON.stringify(refused)}; only asymmetric signatures prove who issued a token: ${[...KNOWN].join(", ")}`,
      { reason: "algorithm" },
    );
  }
}
