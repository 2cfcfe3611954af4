import {
  allowInsecureRequests,
  customFetch,
  discoveryRequest,
  processDiscoveryResponse,
  type AuthorizationServer,
} from "oauth4webapi";
import { FetchFailure, type Fetch } from "./bounded-fetch.ts";
import { BehalfError } from "./errors.ts";
import { identityRefused } from "./identity-refusal.ts";

/**
 * An issuer's metadata: RFC 8414 first, OpenID Connect Discovery where that is not served. The issuer
 * in it must be the one that was asked, letter by letter.
 *
 * @throws BehalfError `identity.unavailable` (reason `metadata`), `configuration` (reason `issuer`: the
 *   server there says that it is another issuer)
 */
export async function discoverIssuer(
  issuer: string,
  fetch: Fetch,
  signal?: AbortSignal,
): Promise<AuthorizationServer> {
  const url = new URL(issuer);
  let answer = "";
  for (const algorithm of ["oauth2", "oidc"] as const) {
    try {
      const response = await discoveryRequest(url, {
        algorithm,
        // The protocol was checked when the issuer was configured, and exactly this URL is asked.
        [allowInsecureRequests]: true,
        [customFetch]: (asked, { method, headers, signal: stop }) =>
          fetch(asked, { method, headers, ...(stop === undefined ? {} : { signal: stop }) }),
        ...(signal === undefined ? {} : { signal }),
      });
      answer = `HTTP ${response.status}`;
      if (response.status !== 200) continue;
      answer = "no metadata";
      const metadata = await processDiscoveryResponse(url, response);
      if (metadata.issuer !== issuer) throw anotherIssuer(issuer);
      return metadata;
    } catch (error) {
      if (BehalfError.isInstance(error) || signal?.aborted === true) throw error;
      if (error instanceof FetchFailure) answer = error.what;
      else if (isIssuerMismatch(error)) throw anotherIssuer(issuer);
    }
  }
  throw identityRefused(
    "metadata",
    `the metadata of the issuer ${issuer} cannot be had: ${answer}`,
    answer,
  );
}

function isIssuerMismatch(error: unknown): boolean {
  return (
    error instanceof Error &&
    "code" in error &&
    error.code === "OAUTH_JSON_ATTRIBUTE_COMPARISON_FAILED"
  );
}

function anotherIssuer(issuer: string): BehalfError {
  return new BehalfError(
    "configuration",
    `the metadata at ${issuer} names another issuer; configure the issuer letter by letter as its metadata says`,
    { reason: "issuer" },
  );
}
