import { inspect } from "node:util";
import { generateKeyPair, jwtVerify } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { everythingOf, refused, why } from "../test-support/refused.ts";
import { AUDIENCE, startTestIssuer, type TestIssuer } from "../test-support/test-issuer.ts";
import type { Identity } from "./identity.ts";
import { identityVerifier } from "./identity-verifier.ts";
import { Secret } from "./secret.ts";
import { tokenExchange, type TokenExchangeOptions } from "./token-exchange.ts";

const BACKEND = "postgres:analytics";
const CLIENT_SECRET = "hunter2 with spaces & signs";
const ISSUED = "urn:ietf:params:oauth:token-type:access_token";

let issuer: TestIssuer;
let alice: Identity;
let subjectToken: string;
/** The last token that the issuer gave. */
let issued = "";

beforeAll(async () => {
  issuer = await startTestIssuer();
  subjectToken = await issuer.token();
  const verifier = identityVerifier({ issuers: [{ issuer: issuer.url }], audience: AUDIENCE });
  alice = await verifier.verify(subjectToken);
});
afterAll(() => issuer.close());
beforeEach(() => {
  issuer.outage = undefined;
  issuer.requests.clear();
  gives({});
});

function exchange(more: Partial<TokenExchangeOptions> = {}) {
  const clientSecret = new Secret(CLIENT_SECRET);
  const given = {
    issuer: issuer.url,
    clientId: "gateway",
    clientSecret,
    audience: BACKEND,
    ...more,
  };
  return tokenExchange(given as TokenExchangeOptions);
}

/** What the issuer puts into the next token, and around it. */
function gives(claims: Record<string, unknown>, around: Record<string, unknown> = {}) {
  issuer.answer = async () => {
    issued = await issuer.token({ aud: BACKEND, act: { sub: "gateway" }, ...claims });
    const body = {
      access_token: issued,
      token_type: "Bearer",
      issued_token_type: ISSUED,
      ...around,
    };
    return { body: { ...body, expires_in: 300 } };
  };
}

describe("an exchange", () => {
  it("gives a credential for the backend and no other", async () => {
    const exp = Math.floor(Date.now() / 1000) + 60;
    gives({ exp });
    const credential = await exchange().exchange(alice);
    expect(credential.token.reveal()).toBe(issued);
    expect(credential).toMatchObject({ expiresAtMs: exp * 1000, audience: BACKEND });
    expect(Object.isFrozen(credential)).toBe(true);
    expect(everythingOf(credential)).not.toContain(issued);
  });

  it("asks as RFC 8693 says, the client proving itself by HTTP Basic", async () => {
    const asked: { authorization: string | undefined; form: object }[] = [];
    const { answer } = issuer;
    issuer.answer = (request, response) => {
      const { authorization, form } = request;
      asked.push({ authorization, form: Object.fromEntries(form) });
      return answer(request, response);
    };
    const task = { id: "t", expiresAtMs: Date.now() + 1000, authorizationDetails: [] };
    await exchange({ resource: "https://db.test", scope: ["b", "a"] }).exchange(alice, { task });
    await exchange({ sendTask: true, actorToken: async () => new Secret("actor-token") }).exchange(
      alice,
      { task },
    );
    const form = {
      grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
      subject_token: subjectToken,
      subject_token_type: ISSUED,
      requested_token_type: ISSUED,
      audience: BACKEND,
    };
    // RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
    const basic = Buffer.from("gateway:hunter2+with+spaces+%26+signs").toString("base64");
    expect(asked).toEqual([
      {
        authorization: `Basic ${basic}`,
        form: { ...form, resource: "https://db.test", scope: "a b" },
      },
      {
        authorization: `Basic ${basic}`,
        form: {
          ...form,
          actor_token: "actor-token",
          actor_token_type: ISSUED,
          authorization_details: "[]",
        },
      },
    ]);
  });

  it("can prove the client with a key", async () => {
    const { privateKey, publicKey } = await generateKeyPair("ES256");
    const { answer } = issuer;
    let assertion = "";
    issuer.answer = (request, response) => {
      expect(request.authorization).toBeUndefined();
      assertion = request.form.get("client_assertion") ?? "";
      return answer(request, response);
    };
    await exchange({ clientSecret: undefined, privateKey, keyId: "k1" } as never).exchange(alice);
    const { payload, protectedHeader } = await jwtVerify(assertion, publicKey, {
      audience: issuer.url,
      issuer: "gateway",
    });
    expect([payload.sub, protectedHeader.kid]).toEqual(["gateway", "k1"]);
  });

  it("discovers the endpoint once", async () => {
    const trade = exchange();
    for (let n = 0; n < 3; n++) await trade.exchange(alice);
    expect(issuer.requests.get("/.well-known/oauth-authorization-server")).toBe(1);
    expect(issuer.requests.get("/token")).toBe(3);
  });
});

describe("an answer is refused", () => {
  it.each([
    ["without act", { act: undefined }, {}, "actor_missing"],
    ["with an act of nobody", { act: {} }, {}, "actor_missing"],
    ["for another backend", { aud: "other" }, {}, "audience"],
    ["for another backend as well", { aud: [BACKEND, "other"] }, {}, "audience"],
    ["of another human", { sub: "bob" }, {}, "subject"],
    ["of another issuer", { iss: "https://evil.test" }, {}, "issuer"],
    ["that is over", { exp: 1000 }, {}, "expired"],
    ["without exp", { exp: undefined }, {}, "expired"],
    ["that is opaque", {}, { access_token: "0paque-hunter2" }, "not_a_jwt"],
    ["bound to a key", {}, { token_type: "DPoP" }, "token_type"],
    ["of an unknown type", {}, { token_type: "mac" }, "token_type"],
    ["that is a refresh token", {}, { issued_token_type: "urn:x:refresh" }, "issued_token_type"],
    ["that does not say what it is", {}, { issued_token_type: undefined }, "issued_token_type"],
    ["without a token", {}, { access_token: undefined }, "answer"],
  ])("%s", async (_name, claims, around, reason) => {
    gives(claims, around);
    const error = await refused(exchange().exchange(alice));
    expect([error.code, error.reason]).toEqual(["identity.exchange_refused", reason]);
    noLeak(error);
  });

  it("not, where the option says so", async () => {
    gives({ act: undefined, aud: ["other", BACKEND] });
    const lax = exchange({ requireActor: false, allowFurtherAudiences: true });
    expect((await lax.exchange(alice)).audience).toBe(BACKEND);
  });
});

describe("a failure keeps its code and loses everything else", () => {
  it.each([
    [400, "invalid_grant", "identity.exchange_refused refused", "invalid_grant"],
    [400, "invalid_target", "identity.exchange_refused refused", "invalid_target"],
    [400, "access_denied", "identity.exchange_refused refused", "access_denied"],
    [400, "invalid_client", "configuration client", "invalid_client"],
    [401, "invalid_client", "configuration client", "invalid_client"],
    [400, "unauthorized_client", "configuration client", "unauthorized_client"],
    [400, "unsupported_grant_type", "configuration client", "unsupported_grant_type"],
    [
      400,
      "temporarily_unavailable",
      "identity.unavailable token_endpoint",
      "temporarily_unavailable",
    ],
    [429, "slow_down", "identity.unavailable token_endpoint", "slow_down"],
    [500, "server_error", "identity.unavailable token_endpoint", "HTTP 500"],
    [400, "ECHO", "identity.exchange_refused refused", "unknown_error"],
  ])("%i %s", async (status, error, expected, nativeCode) => {
    issuer.answer = async ({ form, authorization }) => ({
      status,
      // The worst issuer: it repeats all that it got.
      body: {
        error: error === "ECHO" ? form.get("subject_token") : error,
        error_description: `${form.toString()} ${authorization}`,
        error_uri: form.get("subject_token"),
      },
    });
    const thrown = await refused(exchange().exchange(alice));
    expect(`${thrown.code} ${thrown.reason}`).toBe(expected);
    expect(thrown.nativeCode).toBe(nativeCode);
    noLeak(thrown);
  });

  it.each([
    ["a page of HTML", 200, "identity.exchange_refused answer"],
    ["a proxy's 502", 502, "identity.unavailable token_endpoint"],
  ])("%s", async (_name, status, expected) => {
    issuer.answer = async ({ form }, response) => {
      response.writeHead(status, { "content-type": "text/html" });
      response.end(`<p>${form.toString()}</p>`);
      return undefined;
    };
    const error = await refused(exchange().exchange(alice));
    expect(`${error.code} ${error.reason}`).toBe(expected);
    noLeak(error);
  });

  it("a challenge", async () => {
    issuer.answer = async (_request, response) => {
      response.setHeader("www-authenticate", 'Basic realm="x"');
      return { status: 401, body: { error: "invalid_client" } };
    };
    const error = await refused(exchange().exchange(alice));
    expect([error.code, error.nativeCode]).toEqual(["configuration", "HTTP 401"]);
    noLeak(error);
  });

  it("a redirect, which is not followed", async () => {
    issuer.answer = async (_request, response) => {
      response.writeHead(307, { location: `${issuer.url}/elsewhere` });
      response.end();
      return undefined;
    };
    expect((await refused(exchange().exchange(alice))).code).toBe("identity.exchange_refused");
    expect(issuer.requests.has("/elsewhere")).toBe(false);
  });

  it("silence", async () => {
    const trade = exchange({ fetchTimeoutMs: 100 });
    issuer.outage = "silent";
    const error = await refused(trade.exchange(alice));
    expect([error.code, error.nativeCode]).toEqual(["identity.unavailable", "timeout"]);
    noLeak(error);
  });

  it("silence of a fetch that heeds no signal", async () => {
    const fetch = () => new Promise<Response>(() => undefined);
    const error = await refused(exchange({ fetch, fetchTimeoutMs: 50 }).exchange(alice));
    expect([error.code, error.nativeCode]).toEqual(["identity.unavailable", "timeout"]);
  });

  it("a network that quotes what it was to send", async () => {
    const fetch = async (_url: string, init: RequestInit) => {
      throw Object.assign(new Error(`lost ${inspect(init)}`), {
        init,
      });
    };
    const error = await refused(exchange({ fetch }).exchange(alice));
    expect(error.code).toBe("identity.unavailable");
    noLeak(error);
  });

  it("the caller's own signal", async () => {
    issuer.outage = "silent";
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("enough")), 50);
    const error = await refused(exchange().exchange(alice, { signal: stop.signal }));
    expect(error.code).toBe("cancelled");
    expect((await refused(exchange().exchange(alice, { signal: AbortSignal.abort() }))).code).toBe(
      "cancelled",
    );
  });
});

describe("configuration", () => {
  it("is refused over plain http, but for loopback and under the long name", () => {
    const remote = { issuer: "http://login.test" };
    expect(() => exchange(remote)).toThrow(expect.objectContaining({ code: "configuration" }));
    exchange({ ...remote, dangerouslyAllowPlainHttpToIssuersThatAreNotLoopback: true });
  });

  it("is refused without a proof of the client", () => {
    expect(() => exchange({ clientSecret: undefined } as never)).toThrow(
      expect.objectContaining({ code: "configuration" }),
    );
  });

  it("does not send a human to another issuer", async () => {
    const foreign = { ...alice, issuer: "https://other.test" };
    expect(await why(exchange().exchange(foreign))).toBe("configuration issuer");
    expect(issuer.requests.size).toBe(0);
  });

  it("does not send secrets to an endpoint that is not secure", async () => {
    const { metadata } = issuer;
    issuer.metadata = { ...metadata, token_endpoint: "http://tokens.test" };
    expect((await refused(exchange().exchange(alice))).code).toBe("configuration");
    issuer.metadata = metadata;
  });
});

function noLeak(error: unknown): void {
  const shown = everythingOf(error);
  const basic = Buffer.from("gateway:hunter2").toString("base64").slice(0, 16);
  const secrets = [subjectToken, issued, CLIENT_SECRET, "hunter2", basic];
  const parts = secrets.flatMap((secret) => secret.split(".")).filter((part) => part !== "");
  expect(parts.filter((part) => shown.includes(part.slice(0, 24)))).toEqual([]);
}
