import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { refused, why } from "../test-support/refused.ts";
import { AUDIENCE, newKey, startTestIssuer, type TestIssuer } from "../test-support/test-issuer.ts";
import { identityVerifier, type IdentityVerifierOptions } from "./identity-verifier.ts";

const METADATA = "/.well-known/oauth-authorization-server";

let issuer: TestIssuer;
let nowMs: number;
beforeEach(async () => {
  issuer = await startTestIssuer();
  nowMs = Date.now();
});
afterEach(() => issuer.close());

/** No cache of tokens, and a clock of its own: only the keys are at issue. */
function verifier(more: Partial<IdentityVerifierOptions> = {}) {
  const issuers = [{ issuer: issuer.url }];
  return identityVerifier({
    issuers,
    audience: AUDIENCE,
    maxCacheSeconds: 0,
    now: () => nowMs,
    ...more,
  });
}

const asked = (path: string) => issuer.requests.get(path) ?? 0;
const longLived = (more = {}) => issuer.token({ exp: Math.floor(nowMs / 1000) + 100_000, ...more });

describe("the keys of an issuer", () => {
  it("are fetched once for 200 calls at once", async () => {
    const gate = verifier();
    const token = await issuer.token();
    await Promise.all(Array.from({ length: 200 }, () => gate.verify(token)));
    expect([asked(METADATA), asked("/jwks")]).toEqual([1, 1]);
  });

  it("are not fetched again by a flood of unknown key ids", async () => {
    const gate = verifier();
    await gate.verify(await issuer.token());
    const flood = await Promise.all(
      Array.from({ length: 500 }, (_, n) => issuer.sign(issuer.claims(), { kid: `made-up-${n}` })),
    );
    const reasons = await Promise.all(flood.map((token) => why(gate.verify(token))));
    expect(new Set(reasons)).toEqual(new Set(["identity.rejected unknown_key"]));
    expect(asked("/jwks")).toBe(1);
    nowMs += 5000;
    await Promise.all(flood.map((token) => why(gate.verify(token))));
    expect(asked("/jwks")).toBe(2);
    expect((await gate.verify(await issuer.token())).subject).toBe("alice");
  });

  it("are fetched for a new key at once, or 5 s after the last fetch", async () => {
    const gate = verifier();
    await gate.verify(await issuer.token());
    const next = await newKey();
    issuer.published = [issuer.key.jwk, next.jwk];
    const token = await issuer.sign(issuer.claims(), {}, next);
    nowMs += 4999;
    expect(await why(gate.verify(token))).toBe("identity.rejected unknown_key");
    nowMs += 1;
    expect((await gate.verify(token)).subject).toBe("alice");
    expect(asked("/jwks")).toBe(2);
  });

  it("that the issuer withdraws are out of use after keyRefreshSeconds", async () => {
    const gate = verifier();
    const token = await longLived();
    await gate.verify(token);
    issuer.published = [(await newKey()).jwk];
    nowMs += 299_999;
    await gate.verify(token);
    nowMs += 1;
    expect(await why(gate.verify(token))).toBe("identity.rejected unknown_key");
  });

  it("outlast an outage for keyMaxAgeSeconds, without a storm of requests, and no longer", async () => {
    const gate = verifier();
    const token = await longLived();
    await gate.verify(token);
    issuer.outage = 503;
    nowMs += 3_599_999;
    for (let n = 0; n < 50; n++) await gate.verify(token);
    expect(asked(METADATA)).toBe(1);
    expect(asked("/jwks")).toBe(2);
    nowMs += 1;
    const error = await refused(gate.verify(token));
    expect([error.code, error.reason]).toEqual(["identity.unavailable", "keys"]);
    for (let n = 0; n < 50; n++) await refused(gate.verify(token));
    expect(asked("/jwks")).toBe(2);
    issuer.outage = undefined;
    nowMs += 5000;
    expect((await gate.verify(token)).subject).toBe("alice");
  });

  it("that were never had are unavailable, and asked for once in 5 s", async () => {
    issuer.outage = 500;
    const gate = verifier();
    const token = await issuer.token();
    const results = await Promise.all(Array.from({ length: 50 }, () => why(gate.verify(token))));
    expect(new Set(results)).toEqual(new Set(["identity.unavailable metadata"]));
    expect(asked(METADATA)).toBe(1);
    issuer.outage = undefined;
    expect(await why(gate.verify(token))).toBe("identity.unavailable metadata");
    nowMs += 5000;
    expect((await gate.verify(token)).subject).toBe("alice");
  });

  it("of an unknown id during an outage are unavailable: nobody can say that they do not exist", async () => {
    const gate = verifier();
    await gate.verify(await issuer.token());
    issuer.outage = 503;
    nowMs += 6000;
    const token = await issuer.sign(issuer.claims(), { kid: "new" });
    expect(await why(gate.verify(token))).toBe("identity.unavailable keys");
  });

  it("are not waited for longer than the time limit", async () => {
    issuer.outage = "silent";
    const started = performance.now();
    const error = await refused(verifier({ fetchTimeoutMs: 100 }).verify(await issuer.token()));
    expect(error.nativeCode).toBe("timeout");
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("of nobody listening are unavailable", async () => {
    const token = await issuer.token();
    await issuer.close();
    const error = await refused(verifier().verify(token));
    expect([error.code, error.nativeCode]).toEqual(["identity.unavailable", "ECONNREFUSED"]);
  });

  it("are trusted no longer when the clock is set back under them", async () => {
    const gate = verifier();
    const token = await issuer.token({ iat: 1, nbf: 1 });
    await gate.verify(token);
    issuer.outage = 503;
    nowMs -= 60_000;
    expect((await refused(gate.verify(token))).code).toBe("identity.unavailable");
  });

  it("that are private, symmetric, too small or too many for one id are of no use", async () => {
    const key = await newKey();
    const { privateKey } = key;
    const { exportJWK } = await import("jose");
    const bad = [
      [{ ...(await exportJWK(privateKey)), kid: key.kid, alg: key.alg }],
      [{ kty: "oct", k: "c2VjcmV0", kid: key.kid, alg: "ES256" }],
      [key.jwk, { ...issuer.key.jwk, kid: key.kid }],
      [{ ...key.jwk, use: "enc" }],
    ];
    for (const published of bad) {
      issuer.published = published;
      const token = await issuer.sign(issuer.claims(), {}, key);
      expect(await why(verifier().verify(token))).toBe("identity.rejected unknown_key");
    }
  });

  it("that are no key set, or megabytes of one, are unavailable", async () => {
    const token = await issuer.token();
    issuer.published = Array.from({ length: 4000 }, () => issuer.key.jwk);
    expect((await refused(verifier().verify(token))).nativeCode).toBe("answer too large");
    issuer.published = "no" as never;
    expect((await refused(verifier().verify(token))).nativeCode).toBe("not a JSON Web Key Set");
  });
});

describe("the metadata of an issuer", () => {
  it("must name the issuer itself, letter by letter", async () => {
    for (const name of ["https://evil.test", `${issuer.url}/`]) {
      issuer.metadata["issuer"] = name;
      const error = await refused(verifier().verify(await issuer.token()));
      expect([error.code, error.reason]).toEqual(["configuration", "issuer"]);
    }
    expect(asked("/jwks")).toBe(0);
  });

  it("may not send us to plain http", async () => {
    issuer.metadata["jwks_uri"] = "http://keys.test/jwks";
    expect((await refused(verifier().verify(await issuer.token()))).code).toBe("configuration");
  });

  it("is read from OpenID Connect Discovery where RFC 8414 is not served", async () => {
    const fetch = (url: string, init: RequestInit) =>
      url.endsWith("/.well-known/openid-configuration")
        ? globalThis.fetch(`${issuer.url}${METADATA}`, init)
        : globalThis.fetch(url.endsWith(METADATA) ? `${issuer.url}/none` : url, init);
    expect((await verifier({ fetch }).verify(await issuer.token())).subject).toBe("alice");
  });

  it("is not asked where jwksUri is configured", async () => {
    const issuers = [{ issuer: issuer.url, jwksUri: `${issuer.url}/jwks` }];
    await verifier({ issuers }).verify(await issuer.token());
    expect(asked(METADATA)).toBe(0);
  });

  it("is not followed to where it redirects", async () => {
    const evil = await startTestIssuer();
    const fetch = async (url: string, init: RequestInit) => {
      expect(init.redirect).toBe("manual");
      return url.endsWith("/jwks")
        ? new Response(null, { status: 302, headers: { location: `${evil.url}/jwks` } })
        : globalThis.fetch(url, init);
    };
    const error = await refused(verifier({ fetch }).verify(await issuer.token()));
    expect([error.code, error.nativeCode]).toEqual(["identity.unavailable", "HTTP 302"]);
    expect(evil.requests.size).toBe(0);
    await evil.close();
  });
});
