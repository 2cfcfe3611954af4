import { BehalfError, type BehalfErrorCode } from "./errors.ts";

/**
 * Why a token proves nobody: the `reason` of an `identity.*` error. Stable like the codes.
 *
 * | reason | code | meaning |
 * | --- | --- | --- |
 * | `missing` | `identity.missing` | no token |
 * | `malformed` | `identity.rejected` | not a compact JWS of two JSON objects in canonical base64url |
 * | `too_large` | `identity.rejected` | longer than `maxTokenBytes`, or JSON nested deeper than 64 |
 * | `duplicate_member` | `identity.rejected` | a JSON object names a member twice |
 * | `critical_header` | `identity.rejected` | a `crit` header; none is understood |
 * | `type` | `identity.rejected` | `typ` is not `at+jwt` |
 * | `issuer` | `identity.rejected` | `iss` is not in the allow-list |
 * | `algorithm` | `identity.rejected` | `alg` is not allowed for this issuer |
 * | `unknown_key` | `identity.rejected` | the issuer publishes no such key, or `kid` does not name exactly one |
 * | `signature` | `identity.rejected` | the signature is wrong |
 * | `audience` | `identity.rejected` | `aud` does not contain the expected audience |
 * | `required_claim` | `identity.rejected` | a claim is missing, of a wrong type, empty, too long, or holds control characters |
 * | `act` | `identity.rejected` | the `act` chain is malformed or too deep |
 * | `may_act` | `identity.rejected` | the current actor is not the one that `may_act` names |
 * | `actor_required` | `identity.rejected` | an actor is needed and the token has none |
 * | `expired` | `identity.expired` | `exp` is over |
 * | `too_old` | `identity.expired` | `iat` is longer ago than `maxTokenAgeSeconds` |
 * | `not_before` | `identity.not_yet_valid` | `nbf` lies in the future |
 * | `issued_in_future` | `identity.not_yet_valid` | `iat` lies in the future |
 * | `metadata` | `identity.unavailable` | the issuer's metadata cannot be had |
 * | `keys` | `identity.unavailable` | the issuer's keys cannot be had |
 */
export type IdentityRefusal =
  | "missing"
  | "malformed"
  | "too_large"
  | "duplicate_member"
  | "critical_header"
  | "type"
  | "issuer"
  | "algorithm"
  | "unknown_key"
  | "signature"
  | "audience"
  | "required_claim"
  | "act"
  | "may_act"
  | "actor_required"
  | "expired"
  | "too_old"
  | "not_before"
  | "issued_in_future"
  | "metadata"
  | "keys";

const CODES: { readonly [reason in IdentityRefusal]?: BehalfErrorCode } = {
  missing: "identity.missing",
  expired: "identity.expired",
  too_old: "identity.expired",
  not_before: "identity.not_yet_valid",
  issued_in_future: "identity.not_yet_valid",
  metadata: "identity.unavailable",
  keys: "identity.unavailable",
};

/** The error of a refusal. Its message is constant text of ours: nothing that the token says gets in. */
export function identityRefused(
  reason: IdentityRefusal,
  message: string,
  nativeCode?: string,
): BehalfError {
  return new BehalfError(CODES[reason] ?? "identity.rejected", message, {
    reason,
    ...(nativeCode === undefined ? {} : { nativeCode }),
  });
}
