import { createPublicKey } from "node:crypto";

import type { BehalfErrorCode } from "@behalf/core";
import { generateKeyPair } from "jose";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { failure } from "../support/failure.ts";
import { type TcpProxy, tcpProxy } from "../support/tcp-proxy.ts";
import { DATABASE, GATEWAY, makeWorld, type World } from "../support/world.ts";

let world: World;
let proxy: TcpProxy;
/** What a gateway does with a bearer: the front door, then the database. */
let call: (token: string | undefined) => Promise<unknown>;

beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  const { hostname, port } = new URL(inject("postgresUrl"));
  proxy = await tcpProxy({ host: hostname, port: Number(port) });
  const pool = world.pool({
    connectionString: world.url(undefined, { host: "127.0.0.1", port: proxy.port }),
  });
  const shop = world.adapter({ pool });
  call = async (token) =>
    shop.query(await world.front.delegate(token, { tool: "query" }), "select * from orders");
});
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});

const seconds = () => Math.floor(Date.now() / 1000);
const claims = { sub: "alice", aud: GATEWAY, client_id: "assistant", org_id: "acme" };

/** 10 kB of nested actors: depth that a recursive parser would follow. */
function nestedAct(): object {
  let act: object = { sub: "innermost" };
  for (let n = 0; n < 600; n++) act = { sub: `a${n}`, act };
  return act;
}

const BAD: readonly (readonly [
  string,
  () => Promise<string | undefined>,
  BehalfErrorCode,
  string,
])[] = [
  ["no token", async () => undefined, "identity.missing", "missing"],
  ["an empty token", async () => "", "identity.missing", "missing"],
  ["no JWT", async () => "not a token", "identity.rejected", "malformed"],
  [
    "two parts",
    async () => (await world.token("alice")).split(".").slice(0, 2).join("."),
    "identity.rejected",
    "malformed",
  ],
  [
    "a wrong issuer",
    () => world.idp.forge({ ...claims, iss: "https://evil.example" }),
    "identity.rejected",
    "issuer",
  ],
  [
    "a wrong audience",
    () => world.idp.forge({ ...claims, aud: DATABASE }),
    "identity.rejected",
    "audience",
  ],
  [
    "alg none",
    () => world.idp.forge(claims, { header: { alg: "none" } }),
    "identity.rejected",
    "algorithm",
  ],
  ["HS256 with the public key as the secret", hs256, "identity.rejected", "algorithm"],
  [
    "an expired token",
    () => world.idp.forge({ ...claims, exp: seconds() - 60, iat: seconds() - 120 }),
    "identity.expired",
    "expired",
  ],
  [
    "a token that is not valid yet",
    () => world.idp.forge({ ...claims, nbf: seconds() + 60 }),
    "identity.not_yet_valid",
    "not_before",
  ],
  [
    "a token of the future",
    () => world.idp.forge({ ...claims, iat: seconds() + 60 }),
    "identity.not_yet_valid",
    "issued_in_future",
  ],
  [
    "no sub",
    () => world.idp.forge({ ...claims, sub: undefined }),
    "identity.rejected",
    "required_claim",
  ],
  [
    "an ID token's type",
    () => world.idp.forge(claims, { header: { typ: "JWT" } }),
    "identity.rejected",
    "type",
  ],
  [
    "10 kB of nested act",
    () => world.idp.forge({ ...claims, act: nestedAct() }),
    "identity.rejected",
    "too_large",
  ],
  ["9 actors", () => world.idp.forge({ ...claims, act: chain(9) }), "identity.rejected", "act"],
  ["another key under the right kid", otherKey, "identity.rejected", "signature"],
  ["an altered payload", altered, "identity.rejected", "signature"],
];

async function hs256(): Promise<string> {
  const keys = (await (await fetch(world.idp.jwksUri)).json()) as { keys: object[] };
  const pem = createPublicKey({ key: keys.keys[0] as never, format: "jwk" }).export({
    type: "spki",
    format: "pem",
  });
  return world.idp.forge(claims, {
    header: { alg: "HS256" },
    key: new TextEncoder().encode(String(pem)),
  });
}

async function otherKey(): Promise<string> {
  const { privateKey } = await generateKeyPair("RS256");
  return world.idp.forge(claims, { key: privateKey });
}

async function altered(): Promise<string> {
  const [header, payload, signature] = (await world.token("alice")).split(".");
  const body = JSON.parse(Buffer.from(payload ?? "", "base64url").toString()) as object;
  const bob = Buffer.from(JSON.stringify({ ...body, sub: "bob", org_id: "globex" })).toString(
    "base64url",
  );
  return [header, bob, signature].join(".");
}

function chain(length: number): object {
  return length === 1 ? { sub: "a1" } : { sub: `a${length}`, act: chain(length - 1) };
}

describe("a token that proves nobody", () => {
  it("is refused while a right one is let in: the control", async () => {
    expect(await call(await world.token("alice"))).toMatchObject({ truncated: null });
    expect(await call(await world.idp.forge({ ...claims, act: chain(7) }))).toMatchObject({
      truncated: null,
    });
  });

  it.each(BAD)(
    "%s: refused before the database is touched, with a record",
    async (_, token, code, reason) => {
      const bad = await token();
      proxy.reset();
      const error = await failure(call(bad));
      expect(error).toMatchObject({ code, reason });
      expect(proxy.clientWrites).toBe(0);
      const records = world.records.records.filter((record) => record.id === error.callId);
      expect(records).toMatchObject([
        { kind: "decision", decision: "deny", code, reason, subject: null, tool: "query" },
      ]);
      const said = JSON.stringify(records) + error.message + String(error.stack);
      expect(said).not.toContain(bad?.slice(-40) || "nothing was sent");
    },
  );

  it("in a flood of unknown key ids costs the issuer a handful of requests, and leaves every record", async () => {
    const before = world.idp.requests()["/jwks"] ?? 0;
    const denied = world.records.records.length;
    const tokens = await Promise.all(
      Array.from({ length: 300 }, (_, n) =>
        world.idp.forge(claims, { header: { kid: `unknown-${n}` } }),
      ),
    );
    const errors = await Promise.all(tokens.map((token) => failure(call(token))));
    expect(new Set(errors.map(({ code, reason }) => `${code} ${reason}`))).toEqual(
      new Set(["identity.rejected unknown_key"]),
    );
    expect((world.idp.requests()["/jwks"] ?? 0) - before).toBeLessThanOrEqual(2);
    expect(world.records.records.length - denied).toBe(300);
    // Who comes with a right token is served as before.
    expect(await call(await world.token("bob"))).toMatchObject({ truncated: null });
  });
});
