import { randomUUID } from "node:crypto";
import { CompactSign, type CryptoKey } from "jose";
import type { Issuer } from "./openid-issue.ts";

export interface ForgeOptions {
  /** Laid over `{ alg, kid, typ: "at+jwt" }`; `undefined` leaves a member out, `alg: "none"` does not sign. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** A key that signs instead of the provider's current one; its algorithm must fit `header.alg`. */
  readonly key?: CryptoKey | Uint8Array;
}

/** Signs whatever it is given, true or not. */
export async function forgeToken(
  issuer: Issuer,
  claims: Readonly<Record<string, unknown>>,
  options: ForgeOptions = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const payload = JSON.stringify({
    iss: issuer.url,
    iat: now,
    exp: now + issuer.accessTokenTtlSeconds,
    jti: randomUUID(),
    ...claims,
  });
  const { algorithm, current } = issuer.keys;
  const defaults: { alg: string } & Record<string, unknown> = {
    alg: algorithm,
    kid: current.kid,
    typ: "at+jwt",
  };
  const header = { ...defaults, ...options.header };
  if (header.alg === "none") return `${encode(JSON.stringify(header))}.${encode(payload)}.`;
  // A round trip takes the members away that are undefined.
  const clean: typeof header = JSON.parse(JSON.stringify(header));
  return new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader(clean)
    .sign(options.key ?? current.key);
}

function encode(value: string): string {
  return Buffer.from(value).toString("base64url");
}
