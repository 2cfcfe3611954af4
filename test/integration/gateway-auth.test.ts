import { BehalfError, delegator } from "@behalf/core";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import {
  currentRequest,
  RESOURCE,
  startGateway,
  toolAnswer,
  type GatewayWorld,
} from "../support/gateway-world.ts";
import { DATABASE, GATEWAY, makeWorld, type World } from "../support/world.ts";

let world: World;
let served: GatewayWorld;
beforeAll(async () => {
  world = await makeWorld({ url: inject("postgresUrl") });
  served = await startGateway(world, { scopesSupported: ["orders:read"] });
});
afterAll(async () => {
  await served?.[Symbol.asyncDispose]();
  await world?.[Symbol.asyncDispose]();
});

const METADATA = "http://gateway.test/.well-known/oauth-protected-resource/mcp";
const sql = { sql: "select 1" };
const claims = { sub: "alice", aud: GATEWAY, client_id: "assistant", org_id: "acme" };
const seconds = () => Math.floor(Date.now() / 1000);

it("says where to sign in", async () => {
  for (const path of [
    "/.well-known/oauth-protected-resource",
    "/.well-known/oauth-protected-resource/mcp",
  ]) {
    const answer = await served.send({ method: "GET", path });
    expect(answer.status).toBe(200);
    expect(answer.json()).toEqual({
      resource: RESOURCE,
      authorization_servers: [world.idp.issuer],
      bearer_methods_supported: ["header"],
      scopes_supported: ["orders:read"],
    });
  }
});

describe("refuses", () => {
  it.each<[string, () => Promise<string | undefined>, string]>([
    ["no token", async () => undefined, "identity.missing"],
    ["what is no token", async () => "x.y.z", "identity.rejected (malformed)"],
    [
      "a token for somebody else",
      () => world.idp.forge({ ...claims, aud: DATABASE }),
      "identity.rejected (audience)",
    ],
    [
      "another issuer's token",
      () => world.idp.forge({ ...claims, iss: "https://evil.example" }),
      "identity.rejected (issuer)",
    ],
    [
      "an expired token",
      () => world.idp.forge({ ...claims, exp: seconds() - 60, iat: seconds() - 120 }),
      "identity.expired (expired)",
    ],
  ])("%s, on record, before the database is asked", async (_name, token, why) => {
    const before = world.records.records.length;
    const answer = await served.call(await token(), "query", sql);
    expect(answer.status).toBe(401);
    const challenge = answer.headers["www-authenticate"];
    expect(challenge).toContain(`Bearer resource_metadata="${METADATA}"`);
    expect(challenge).toContain('scope="orders:read"');
    const error = /, error="(.+)", error_description="(.+?)"/.exec(challenge ?? "")?.slice(1);
    // RFC 6750, 3.1: a request that brought no token gets no error code.
    expect(error).toEqual(why === "identity.missing" ? undefined : ["invalid_token", why]);
    const records = world.records.records.slice(before);
    expect(records).toMatchObject([{ kind: "decision", action: "delegate", tool: "query" }]);
  });

  it("a token in the query, in the body, in a cookie and under another scheme", async () => {
    const token = await world.token("alice");
    const { body, headers } = currentRequest("tools/call", { name: "query", arguments: sql });
    for (const request of [
      { path: `/mcp?access_token=${token}`, headers },
      { headers: { ...headers, cookie: `access_token=${token}` } },
      { headers: { ...headers, authorization: `Basic ${token}` } },
      { headers: { ...headers, authorization: token } },
      { headers: { ...headers, authorization: `Bearer ${token} ${token}` } },
      { headers, body: { ...body, access_token: token } },
    ]) {
      const answer = await served.send({ body, ...request });
      expect(answer.status).toBe(401);
      expect(answer.text).not.toContain(token.slice(0, 20));
    }
    // The other side: the same token where it belongs.
    expect((await served.call(token, "query", sql)).status).toBe(200);
  });

  it.each([
    "server/discover",
    "tools/list",
    "initialize",
    "ping",
    "notifications/initialized",
    "nothing",
  ])("%s without a bearer, and serves it with one", async (method) => {
    const { body, headers } = currentRequest(method);
    expect((await served.send({ body, headers })).status).toBe(401);
    const legacy = { jsonrpc: "2.0", id: 1, method, params: {} };
    expect((await served.send({ body: legacy })).status).toBe(401);
    const authorization = `Bearer ${await world.token("alice")}`;
    const answer = await served.send({ body, headers: { ...headers, authorization } });
    expect(answer.status).not.toBe(401);
  });

  it("to read the body of somebody it does not know", async () => {
    const answer = await served.send({ body: "{".repeat(1_000_000) });
    expect(answer.status).toBe(401);
  });
});

describe("says 503, and not 401, when", () => {
  it.each<[string, BehalfError]>([
    ["the issuer cannot be reached", new BehalfError("identity.unavailable", "no keys")],
    ["refusals cannot be recorded", new BehalfError("records.unavailable", "disk full")],
  ])("%s", async (_name, error) => {
    await using broken = await startGateway(world, {
      front: {
        delegate: () => Promise.reject(error),
        refuse: async (_delegation, refused) => refused,
        invalidate: () => {},
        close: () => {},
      },
    });
    const answer = await broken.call(await world.token("alice"), "query", sql);
    expect(answer.status).toBe(503);
    expect(answer.headers["retry-after"]).toBe("10");
    expect(answer.headers["www-authenticate"]).toBeUndefined();
  });
});

it("runs nothing when the decision cannot be recorded", async () => {
  const records = {
    write: () => Promise.reject(new BehalfError("records.unavailable", "/var/audit is full")),
    close: async () => {},
  };
  await using broken = await startGateway(world, { database: world.adapter({ records }) });
  const answer = await broken.call(await world.token("alice"), "query", sql);
  const text = toolAnswer(answer.json()["result"]);
  expect(text["error"]).toMatchObject({ code: "records.unavailable", retry: true });
  expect(answer.text).not.toContain("/var/audit");
  expect(broken.log).toMatchObject([{ event: "tool_failed", code: "records.unavailable" }]);
});

it("verifies a token once for many calls", async () => {
  let asked = 0;
  await using counted = await startGateway(world, {
    front: {
      ...world.front,
      delegate(token, options) {
        asked += 1;
        return world.front.delegate(token, options);
      },
    },
  });
  expect((await counted.call(await world.token("alice"), "query", sql)).status).toBe(200);
  expect(asked).toBe(1);
});

it("lets nobody in for whom no actor acts, where one is asked for", async () => {
  const token = await world.idp.forge(claims);
  const verifier = { issuers: [{ issuer: world.idp.issuer }], audience: GATEWAY };
  const strict = delegator({
    verifier: { ...verifier, requireActor: true },
    records: world.records,
  });
  await using withRule = await startGateway(world, { front: strict });
  expect((await withRule.call(token, "query", sql)).status).toBe(401);
  expect((await withRule.call(await world.token("alice"), "query", sql)).status).toBe(200);
  strict.close();
  // The other side: without the rule the human's own token passes the door.
  expect((await served.call(token, "query", sql)).status).toBe(200);
});
