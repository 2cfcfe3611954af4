import type { TokenEndpointResponse } from "oauth4webapi";
import { actorsOf } from "./act-chain.ts";
import { parseCompactToken } from "./compact-token.ts";
import type { Credential } from "./credential.ts";
import type { SubjectRef } from "./identity.ts";
import { Secret } from "./secret.ts";
import { exchangeRefused } from "./token-exchange-error.ts";

const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";

/** Deepest `act` chain that is looked at in an issued token: the verifier's default, with room. */
const MAX_ISSUED_ACTORS = 16;

export interface ExpectedToken {
  readonly subject: SubjectRef;
  readonly audience: string;
  readonly allowFurtherAudiences: boolean;
  readonly requireActor: boolean;
}

/**
 * Checks what an exchange gave. The signature is not verified, because the backend does that and this
 * answer came from the issuer itself over TLS; these checks find an issuer that issues something else
 * than was asked, before a backend takes it for somebody else's.
 *
 * @throws BehalfError `identity.exchange_refused`
 */
export function credentialOf(
  answer: TokenEndpointResponse,
  expected: ExpectedToken,
  nowMs: number,
): Credential {
  const { audience, subject } = expected;
  if (answer.token_type.toLowerCase() !== "bearer") {
    throw exchangeRefused(
      "token_type",
      "the issued token is bound to a key that this client has not",
    );
  }
  if (answer["issued_token_type"] !== ACCESS_TOKEN_TYPE) {
    throw exchangeRefused("issued_token_type", "the issued token is not called an access token");
  }
  const claims = claimsOf(answer.access_token);
  if (claims["iss"] !== subject.issuer) {
    throw exchangeRefused("issuer", "the issued token is of another issuer");
  }
  if (claims["sub"] !== subject.subject) {
    throw exchangeRefused("subject", "the issued token is of another subject");
  }
  const audiences: readonly unknown[] = [claims["aud"]].flat();
  if (!audiences.includes(audience)) {
    throw exchangeRefused("audience", `the issued token is not for ${audience}`);
  }
  if (audiences.length > 1 && !expected.allowFurtherAudiences) {
    throw exchangeRefused("audience", `the issued token is for others than ${audience} as well`);
  }
  if (expected.requireActor && !hasActor(claims["act"])) {
    throw exchangeRefused(
      "actor_missing",
      "the issued token has no usable act claim: the issuer impersonates where it should delegate (Keycloak does so before 26.8)",
    );
  }
  const { exp } = claims;
  const expiresAtMs = typeof exp === "number" ? Math.floor(exp * 1000) : 0;
  if (!(expiresAtMs > nowMs)) {
    throw exchangeRefused("expired", "the issued token has no exp or is over already");
  }
  return Object.freeze({ token: new Secret(answer.access_token), expiresAtMs, audience });
}

function claimsOf(token: string): Readonly<Record<string, unknown>> {
  try {
    return parseCompactToken(token).payload;
  } catch {
    throw exchangeRefused(
      "not_a_jwt",
      "the issued token is not a JWT, so nobody can check it here",
    );
  }
}

function hasActor(act: unknown): boolean {
  try {
    return actorsOf(act, MAX_ISSUED_ACTORS).length > 0;
  } catch {
    return false;
  }
}
