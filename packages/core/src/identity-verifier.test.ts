import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { everythingOf, refused, why } from "../test-support/refused.ts";
import { AUDIENCE, newKey, startTestIssuer, type TestIssuer } from "../test-support/test-issuer.ts";
import { isDeeplyFrozen } from "./deeply-frozen.ts";
import { identityVerifier, type IdentityVerifierOptions } from "./identity-verifier.ts";

let issuer: TestIssuer;

beforeAll(async () => {
  issuer = await startTestIssuer();
});
afterAll(() => issuer.close());
beforeEach(() => {
  issuer.requests.clear();
  issuer.outage = undefined;
  issuer.published = [issuer.key.jwk];
});

function verifier(more: Partial<IdentityVerifierOptions> = {}) {
  return identityVerifier({ issuers: [{ issuer: issuer.url }], audience: AUDIENCE, ...more });
}

const seconds = () => Math.floor(Date.now() / 1000);

describe("a good token", () => {
  it("becomes an identity that nobody can change", async () => {
    const claims = issuer.claims({
      act: { sub: "gateway", act: { sub: "agent-7", sub_profile: "ai_agent" } },
      org: { id: "acme", tags: ["a"] },
    });
    const token = await issuer.sign(claims);
    const alice = await verifier().verify(token);
    expect(alice).toMatchObject({
      issuer: issuer.url,
      subject: "alice",
      audience: [AUDIENCE],
      clientId: "agent-host",
      tokenId: claims.jti,
      expiresAtMs: (claims.exp ?? 0) * 1000,
      issuedAtMs: (claims.iat ?? 0) * 1000,
      actors: [{ subject: "gateway" }, { subject: "agent-7", profile: "ai_agent" }],
    });
    expect(alice.token.reveal()).toBe(token);
    expect(alice.claims).toEqual(claims);
    expect(isDeeplyFrozen(alice)).toBe(true);
    expect(everythingOf(alice)).not.toContain(token.slice(0, 40));
  });

  it.each(["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"])(
    "of typ %s",
    async (typ) => {
      const token = await issuer.sign(issuer.claims(), { typ });
      expect((await verifier().verify(token)).subject).toBe("alice");
    },
  );

  it("of an audience list that contains ours", async () => {
    const { audience } = await verifier().verify(await issuer.token({ aud: ["x", AUDIENCE] }));
    expect(audience).toEqual(["x", AUDIENCE]);
  });

  it.each(["RS256", "PS256", "ES256", "EdDSA"])("signed with %s", async (alg) => {
    const key = await newKey(alg);
    issuer.published = [key.jwk];
    expect((await verifier().verify(await issuer.sign(issuer.claims(), {}, key))).subject).toBe(
      "alice",
    );
  });

  it("of two claims named like members of Object.prototype", async () => {
    const text = JSON.stringify(issuer.claims()).replace(
      "{",
      '{"__proto__":{"sub":"x"},"constructor":1,',
    );
    const claims: unknown = JSON.parse(text);
    const alice = await verifier().verify(await issuer.sign(claims as never));
    expect(alice.subject).toBe("alice");
    expect(({} as { sub?: string }).sub).toBeUndefined();
  });
});

describe("clocks", () => {
  it("forgive 5 s at the beginning of a token and nothing at its end", async () => {
    const start = Date.now();
    let nowMs = start;
    const gate = verifier({ now: () => nowMs, maxCacheSeconds: 0 });
    const at = Math.floor(start / 1000) + 100;
    const token = await issuer.token({ iat: at, nbf: at, exp: at + 60 });
    nowMs = (at - 6) * 1000;
    expect(await why(gate.verify(token))).toBe("identity.not_yet_valid not_before");
    nowMs = (at - 5) * 1000;
    expect((await gate.verify(token)).subject).toBe("alice");
    nowMs = (at + 60) * 1000 - 1;
    expect((await gate.verify(token)).subject).toBe("alice");
    nowMs += 1;
    expect(await why(gate.verify(token))).toBe("identity.expired expired");
  });
});

describe("the cache of verified tokens", () => {
  it("gives the same identity until maxCacheSeconds, and never past exp", async () => {
    let nowMs = Date.now();
    const gate = verifier({ now: () => nowMs });
    const token = await issuer.token({ exp: seconds() + 90 });
    const first = await gate.verify(token);
    nowMs += 59_000;
    expect(await gate.verify(token)).toBe(first);
    nowMs += 2000;
    const second = await gate.verify(token);
    expect(second).not.toBe(first);
    nowMs = first.expiresAtMs - 1;
    expect(await gate.verify(token)).toBe(second);
    nowMs += 1;
    expect(await why(gate.verify(token))).toBe("identity.expired expired");
  });

  it("is dropped for one human by invalidate, also for a verification under way", async () => {
    const gate = verifier();
    const [alice, bob] = [await issuer.token(), await issuer.token({ sub: "bob" })];
    const [a, b] = [await gate.verify(alice), await gate.verify(bob)];
    gate.invalidate({ issuer: issuer.url, subject: "alice" });
    expect(await gate.verify(bob)).toBe(b);
    const again = gate.verify(alice);
    gate.invalidate({ issuer: issuer.url, subject: "alice" });
    const late = await again;
    expect(late).not.toBe(a);
    expect(await gate.verify(alice)).not.toBe(late);
  });

  it("is bounded, and can be turned off", async () => {
    const small = verifier({ maxCachedTokens: 2 });
    const tokens = await Promise.all([1, 2, 3].map((n) => issuer.token({ sub: `human-${n}` })));
    const first = await small.verify(tokens[0]);
    for (const token of tokens) await small.verify(token);
    expect(await small.verify(tokens[0])).not.toBe(first);
    const off = verifier({ maxCacheSeconds: 0 });
    expect(await off.verify(tokens[0])).not.toBe(await off.verify(tokens[0]));
  });

  it("is empty, and the verifier of no use, after close", async () => {
    const gate = verifier();
    const token = await issuer.token();
    await gate.verify(token);
    gate.close();
    gate.close();
    expect((await refused(gate.verify(token))).code).toBe("closed");
  });
});

describe("options", () => {
  const make = (more: object) => () =>
    identityVerifier({ issuers: [{ issuer: "https://a.test" }], audience: AUDIENCE, ...more });

  it.each([
    ["no issuer", { issuers: [] }],
    ["an issuer twice", { issuers: [{ issuer: "https://a.test" }, { issuer: "https://a.test" }] }],
    ["alg none", { issuers: [{ issuer: "https://a.test", algorithms: ["none"] }] }],
    ["HS256", { issuers: [{ issuer: "https://a.test", algorithms: ["RS256", "HS256"] }] }],
    ["no algorithm", { issuers: [{ issuer: "https://a.test", algorithms: [] }] }],
    ["plain http", { issuers: [{ issuer: "http://a.test" }] }],
    ["plain http keys", { issuers: [{ issuer: "https://a.test", jwksUri: "http://a.test/k" }] }],
    ["a host that only looks like loopback", { issuers: [{ issuer: "http://127.0.0.1.a.test" }] }],
    ["a password in the URL", { issuers: [{ issuer: "https://u:hunter2@a.test" }] }],
    ["a query in the issuer", { issuers: [{ issuer: "https://a.test?x=1" }] }],
    ["no URL", { issuers: [{ issuer: "a.test" }] }],
    ["no audience", { audience: "" }],
    ["a negative tolerance", { clockToleranceSeconds: -1 }],
    ["a limit that is no number", { maxTokenBytes: Number.NaN }],
  ])("with %s are refused", (_name, more) => {
    expect(make(more)).toThrow(expect.objectContaining({ code: "configuration" }));
    expect(make(more)).not.toThrow(/hunter2/);
  });

  it("with plain http are accepted under the long name", () => {
    const issuers = [{ issuer: "http://a.test" }];
    const dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback = true;
    expect(make({ issuers, dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback })).not.toThrow();
    const loopback = ["http://localhost:1", "http://127.1.2.3:1", "http://[::1]:1"];
    expect(make({ issuers: loopback.map((url) => ({ issuer: url })) })).not.toThrow();
  });
});
