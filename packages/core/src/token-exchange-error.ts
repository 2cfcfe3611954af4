import {
  OperationProcessingError,
  ResponseBodyError,
  UnsupportedOperationError,
  WWWAuthenticateChallengeError,
} from "oauth4webapi";
import { FetchFailure } from "./bounded-fetch.ts";
import { BehalfError } from "./errors.ts";

/**
 * Why an exchange gave no credential: the `reason` of `identity.exchange_refused`.
 *
 * | reason | meaning |
 * | --- | --- |
 * | `refused` | the issuer said no; `nativeCode` is its OAuth error code |
 * | `answer` | the answer is no token response |
 * | `token_type` | the answer is not a Bearer token |
 * | `issued_token_type` | the answer is not an access token |
 * | `not_a_jwt` | the issued token cannot be looked into |
 * | `issuer`, `subject`, `audience` | the issued token is of or for somebody else |
 * | `actor_missing` | an actor is needed and the issued token has none: it would be impersonation |
 * | `expired` | the issued token is over already, or has no `exp` |
 */
export type ExchangeRefusal =
  | "refused"
  | "answer"
  | "token_type"
  | "issued_token_type"
  | "not_a_jwt"
  | "issuer"
  | "subject"
  | "audience"
  | "actor_missing"
  | "expired";

/** The client or its grant is set up wrongly: no other human would fare better. */
const CONFIGURATION = new Set(["invalid_client", "unauthorized_client", "unsupported_grant_type"]);
const TEMPORARY = new Set(["temporarily_unavailable", "server_error", "slow_down"]);

export function exchangeRefused(
  reason: ExchangeRefusal,
  message: string,
  nativeCode?: string,
): BehalfError {
  return new BehalfError("identity.exchange_refused", message, {
    reason,
    ...(nativeCode === undefined ? {} : { nativeCode }),
  });
}

/**
 * What a failed request to a token endpoint means. The library's errors hold the answer's body and
 * `error_description` may quote what was sent, so nothing of them is kept but the OAuth error code.
 */
export function tokenEndpointError(error: unknown, issuer: string): BehalfError {
  if (BehalfError.isInstance(error)) return error;
  if (error instanceof FetchFailure) return unavailable(issuer, error.what);
  if (error instanceof ResponseBodyError) {
    const code = oauthCode(error.error);
    if (error.status === 429 || TEMPORARY.has(code)) {
      return unavailable(issuer, code);
    }
    if (CONFIGURATION.has(code)) return wronglySetUp(issuer, code);
    return exchangeRefused("refused", `${issuer} refused the token exchange: ${code}`, code);
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    return wronglySetUp(issuer, `HTTP ${error.status}`);
  }
  if (error instanceof UnsupportedOperationError) {
    return exchangeRefused("token_type", `${issuer} answered with an unknown token_type`);
  }
  if (error instanceof OperationProcessingError) {
    const { cause } = error;
    if (cause instanceof Response && (cause.status >= 500 || cause.status === 429)) {
      return unavailable(issuer, `HTTP ${cause.status}`);
    }
    return exchangeRefused("answer", `${issuer} answered with what is no token response`);
  }
  return unavailable(issuer, "unknown failure");
}

function unavailable(issuer: string, what: string): BehalfError {
  return new BehalfError(
    "identity.unavailable",
    `the token endpoint of ${issuer} gives no answer: ${what}`,
    { reason: "token_endpoint", nativeCode: what },
  );
}

function wronglySetUp(issuer: string, code: string): BehalfError {
  return new BehalfError(
    "configuration",
    `${issuer} does not let this client exchange tokens: ${code}; check clientId, its proof and its grants`,
    { reason: "client", nativeCode: code },
  );
}

/** OAuth codes are lower case words. Anything else might be what was sent. */
function oauthCode(value: unknown): string {
  return typeof value === "string" && /^[a-z_]{1,64}$/.test(value) ? value : "unknown_error";
}
