import { errors as joseErrors, jwtVerify, type JWTPayload } from "jose";
import { refuse, type Issuer } from "./openid-issue.ts";

/** The payload of a live access token that this provider signed itself. */
export interface OwnToken extends JWTPayload {
  readonly sub: string;
  readonly exp: number;
}

/** Verifies a token that a request carries. RFC 8693, 2.2.2: whatever is wrong is `invalid_request`. */
export async function verifyOwnToken(
  issuer: Issuer,
  name: string,
  token: string,
): Promise<OwnToken> {
  try {
    const { payload } = await jwtVerify(token, issuer.keys.resolver(), {
      algorithms: [issuer.keys.algorithm],
      issuer: issuer.url,
      typ: "at+jwt",
      requiredClaims: ["sub", "aud", "exp", "iat", "jti", "client_id"],
    });
    const { sub, exp } = payload;
    if (sub === undefined || exp === undefined) {
      refuse("invalid_request", `the ${name} has no sub or exp`);
    }
    return { ...payload, sub, exp };
  } catch (error) {
    if (!(error instanceof joseErrors.JOSEError)) throw error;
    return refuse("invalid_request", `the ${name} is refused: ${error.message}`);
  }
}

export function audiencesOf(token: OwnToken): readonly string[] {
  return [token.aud ?? []].flat();
}
