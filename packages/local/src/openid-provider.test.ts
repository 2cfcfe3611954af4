import { generateKeyPair } from "jose";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import {
  askForToken,
  DATABASE,
  exchange,
  GATEWAY,
  startExample,
  verify,
} from "../fixtures/openid.ts";
import {
  LOCAL_SIGN_IN,
  startOpenIdProvider,
  type ForgeOptions,
  type LocalOpenIdProvider,
} from "./index.ts";

const AGENT = { clientId: "agent", audience: GATEWAY };

async function getJson(url: string): Promise<Record<string, unknown>> {
  return JSON.parse(await (await fetch(url)).text());
}

describe("OpenID provider", () => {
  let idp: LocalOpenIdProvider;
  const printed: unknown[] = [];

  beforeAll(async () => {
    for (const level of ["log", "info", "warn", "error"] as const) {
      vi.spyOn(console, level).mockImplementation((...line) => void printed.push(line));
    }
    idp = await startExample();
  });
  afterAll(async () => {
    await idp.close();
    vi.restoreAllMocks();
  });

  it("is found by OpenID and by RFC 8414 discovery", async () => {
    const openid = await getJson(`${idp.issuer}/.well-known/openid-configuration`);
    expect(openid).toMatchObject({
      issuer: idp.issuer,
      jwks_uri: idp.jwksUri,
      token_endpoint: idp.tokenEndpoint,
      code_challenge_methods_supported: ["S256"],
    });
    expect(openid["grant_types_supported"]).toContain(LOCAL_SIGN_IN);
    expect(await getJson(`${idp.issuer}/.well-known/oauth-authorization-server`)).toEqual(openid);
    expect(new URL(idp.issuer).hostname).toBe("127.0.0.1");
  });

  it("publishes public keys only, with kid, use and alg", async () => {
    const { keys } = await getJson(idp.jwksUri);
    expect(keys).toEqual([
      {
        kty: "RSA",
        use: "sig",
        alg: "RS256",
        e: "AQAB",
        kid: idp.currentKeyId,
        n: expect.any(String),
      },
    ]);
  });

  it("signs a human in; the client's actor acts and the human's claims are there", async () => {
    const token = await idp.signIn("alice", { ...AGENT, scope: "tools:call" });
    expect(await verify(idp, token, GATEWAY)).toMatchObject({
      sub: "alice",
      aud: GATEWAY,
      client_id: "agent",
      scope: "tools:call",
      org_id: "acme",
      roles: ["clerk"],
      act: { sub: "urn:example:agent", sub_profile: "ai_agent" },
    });
    await expect(verify(idp, token, DATABASE)).rejects.toThrow(/aud/);
  });

  it("has nobody act when the client has no actor", async () => {
    const token = await idp.signIn("alice", { clientId: "portal", audience: GATEWAY });
    expect(await verify(idp, token, GATEWAY)).not.toHaveProperty("act");
  });

  it("accepts client_secret_post as well", async () => {
    const response = await fetch(idp.tokenEndpoint, {
      method: "POST",
      body: new URLSearchParams({
        client_id: "portal",
        client_secret: "portal-secret",
        grant_type: LOCAL_SIGN_IN,
        username: "bob",
        resource: GATEWAY,
      }),
    });
    expect(response.status).toBe(200);
  });

  it("refuses unknown humans, resources, scopes, clients and secrets", async () => {
    const ask = (
      form: Record<string, string>,
      login: [string, string] = ["portal", "portal-secret"],
    ) =>
      askForToken(idp, login, {
        grant_type: LOCAL_SIGN_IN,
        username: "bob",
        audience: GATEWAY,
        ...form,
      });
    expect(await ask({})).toMatchObject({ status: 200 });
    expect(await ask({ username: "mallory" })).toMatchObject({
      status: 400,
      error: "invalid_grant",
    });
    expect(await ask({ audience: "urn:nobody" })).toMatchObject({ error: "invalid_target" });
    expect(await ask({ resource: DATABASE })).toMatchObject({ error: "invalid_target" });
    expect(await ask({ scope: "rows:read" })).toMatchObject({ error: "invalid_scope" });
    expect(await ask({}, ["portal", "wrong"])).toMatchObject({
      status: 401,
      error: "invalid_client",
    });
    // A client that was not given the development grant cannot use it.
    expect(await ask({}, ["gateway", "gateway-secret"])).toMatchObject({
      error: "invalid_request",
    });
    await expect(idp.signIn("mallory", AGENT)).rejects.toThrow(/no human mallory/);
    await expect(idp.signIn("bob", { ...AGENT, clientId: "nobody" })).rejects.toThrow(/no client/);
  });

  it("gives no two tokens the same jti", async () => {
    const tokens = await Promise.all(Array.from({ length: 20 }, () => idp.signIn("alice", AGENT)));
    const ids = await Promise.all(
      tokens.map(async (token) => (await verify(idp, token, GATEWAY)).jti),
    );
    expect(new Set(ids).size).toBe(20);
  });

  it("counts requests by path", async () => {
    const before = idp.requests();
    await idp.signIn("alice", AGENT);
    await fetch(`${idp.jwksUri}?x=1`);
    const after = idp.requests();
    expect(after["/token"]).toBe((before["/token"] ?? 0) + 1);
    expect(after["/jwks"]).toBe((before["/jwks"] ?? 0) + 1);
  });

  it("prints nothing", () => {
    expect(printed).toEqual([]);
  });
});

describe("OpenID provider: change at run time", () => {
  it("issues nothing for a revoked human", async () => {
    await using idp = await startExample();
    const token = await idp.signIn("alice", AGENT);
    idp.revokeHuman("alice");
    await expect(idp.signIn("alice", AGENT)).rejects.toThrow(/revoked/);
    expect(await exchange(idp, token)).toMatchObject({ status: 400, error: "invalid_request" });
    expect(await idp.signIn("bob", AGENT)).toBeTypeOf("string");
    expect(() => idp.revokeHuman("nobody")).toThrow(/no human nobody/);
  });

  it("rotates keys: old tokens verify until the old keys are dropped", async () => {
    await using idp = await startExample();
    const first = idp.currentKeyId;
    const old = await idp.signIn("alice", AGENT);
    await idp.rotateKeys();
    const fresh = await idp.signIn("alice", AGENT);
    expect(idp.currentKeyId).not.toBe(first);
    expect(kidOf(old)).toBe(first);
    expect(kidOf(fresh)).toBe(idp.currentKeyId);
    expect(await verify(idp, old, GATEWAY)).toMatchObject({ sub: "alice" });
    expect(await verify(idp, fresh, GATEWAY)).toMatchObject({ sub: "alice" });
    expect(await exchange(idp, old)).toMatchObject({ status: 200 });

    idp.dropOldKeys();
    await expect(verify(idp, old, GATEWAY)).rejects.toThrow(/no applicable key/);
    expect(await exchange(idp, old)).toMatchObject({ error: "invalid_request" });
    expect(await verify(idp, fresh, GATEWAY)).toMatchObject({ sub: "alice" });
  });

  it("signs with ES256 when asked to", async () => {
    await using idp = await startExample({ signingAlgorithm: "ES256" });
    const answer = await exchange(idp, await idp.signIn("alice", AGENT));
    expect(await verify(idp, answer.access_token, DATABASE)).toMatchObject({ sub: "alice" });
  });

  it("closes twice, and its port is free again", async () => {
    const idp = await startExample();
    await Promise.all([idp.close(), idp.close()]);
    await expect(fetch(idp.jwksUri)).rejects.toThrow(/fetch failed/);
    await using next = await startExample({ port: idp.port });
    expect(next.port).toBe(idp.port);
  });
});

describe("forged tokens", () => {
  it("carry what they were told, under the provider's key", async () => {
    await using idp = await startExample();
    const token = await idp.forge({ sub: "mallory", aud: DATABASE, client_id: "x" });
    expect(await verify(idp, token, DATABASE)).toMatchObject({ sub: "mallory" });
    const { privateKey } = await generateKeyPair("RS256");
    const wrong: [RegExp, Record<string, unknown>, ForgeOptions?][] = [
      [/exp/, { exp: 1 }],
      [/iss/, { iss: "https://elsewhere" }],
      [/jti/, { jti: undefined }],
      [/typ/, {}, { header: { typ: "JWT" } }],
      [/alg/i, {}, { header: { alg: "none" } }],
      [/no applicable key/, {}, { header: { kid: "unknown" } }],
      [/signature/, {}, { key: privateKey }],
    ];
    for (const [why, claims, options] of wrong) {
      const forged = await idp.forge(
        { sub: "a", aud: DATABASE, client_id: "x", ...claims },
        options,
      );
      await expect(verify(idp, forged, DATABASE)).rejects.toThrow(why);
    }
  });
});

describe("options of the OpenID provider", () => {
  const options = { humans: [{ sub: "alice" }], clients: [], resources: [{ audience: GATEWAY }] };

  it.each(["iss", "sub", "aud", "exp", "act", "may_act", "cnf", "scope", "jti"])(
    "refuse a human's claim %s",
    async (name) => {
      const humans = [{ sub: "alice", claims: { [name]: "x" } }];
      await expect(startOpenIdProvider({ ...options, humans })).rejects.toThrow(
        /belongs to the protocol/,
      );
    },
  );

  const start = (more: object) => startOpenIdProvider({ ...options, ...more });

  it("refuse names that collide or do not exist", async () => {
    const client = { clientId: "c", clientSecret: "s" };
    await expect(start({ humans: [{ sub: "a" }, { sub: "a" }] })).rejects.toThrow(/a twice/);
    await expect(start({ clients: [{ ...client, audiences: ["urn:x"] }] })).rejects.toThrow(
      /urn:x/,
    );
    await expect(start({ clients: [{ ...client, actor: { sub: "alice" } }] })).rejects.toThrow(
      /two names/,
    );
    await expect(start({ accessTokenTtlSeconds: 0 })).rejects.toThrow(/accessTokenTtlSeconds/);
  });
});

function kidOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split(".")[0] ?? "", "base64url").toString()).kid;
}
