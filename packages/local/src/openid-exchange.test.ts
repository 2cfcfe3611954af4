import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  ACCESS_TOKEN,
  askForToken,
  DATABASE,
  exchange,
  EXCHANGE,
  GATEWAY,
  OTHER,
  startExample,
  verify,
} from "../fixtures/openid.ts";
import type { LocalOpenIdProvider } from "./index.ts";

const AGENT_ACTOR = { sub: "urn:example:agent", sub_profile: "ai_agent" };
const GATEWAY_ACTOR = { sub: "urn:example:gateway-actor", sub_profile: "service" };
const SILENT = ["silent", "silent-secret"] as const;

describe("token exchange", () => {
  let idp: LocalOpenIdProvider;
  let subject: string;

  beforeAll(async () => {
    idp = await startExample();
    subject = await idp.signIn("alice", {
      clientId: "agent",
      audience: GATEWAY,
      scope: "tools:call",
    });
  });
  afterAll(() => idp.close());

  /** A subject token like Alice's, with some claims changed. */
  const forge = (claims: Record<string, unknown>, header: Record<string, unknown> = {}) =>
    idp.forge({ sub: "alice", aud: GATEWAY, client_id: "agent", ...claims }, { header });

  it("keeps the human and puts the gateway before the agent", async () => {
    const answer = await exchange(idp, subject, { scope: "rows:read" });
    expect(answer).toMatchObject({
      status: 200,
      issued_token_type: ACCESS_TOKEN,
      token_type: "Bearer",
      scope: "rows:read",
      expires_in: expect.any(Number),
    });
    expect(await verify(idp, answer.access_token, DATABASE)).toMatchObject({
      sub: "alice",
      aud: DATABASE,
      client_id: "gateway",
      org_id: "acme",
      roles: ["clerk"],
      scope: "rows:read",
      act: { ...GATEWAY_ACTOR, act: AGENT_ACTOR },
    });
  });

  it("takes the target as `resource` too", async () => {
    const form = { grant_type: EXCHANGE, subject_token: subject, subject_token_type: ACCESS_TOKEN };
    const ask = (more: Record<string, string>) =>
      askForToken(idp, ["gateway", "gateway-secret"], { ...form, ...more });
    expect(await ask({ resource: DATABASE })).toMatchObject({ status: 200 });
    expect(await ask({ resource: DATABASE, audience: DATABASE })).toMatchObject({ status: 200 });
    expect(await ask({})).toMatchObject({ error: "invalid_target" });
    const both = Object.entries({ ...form, resource: DATABASE, audience: GATEWAY });
    expect(await askForToken(idp, ["gateway", "gateway-secret"], both)).toMatchObject({
      error: "invalid_target",
    });
    const twice: [string, string][] = [
      ...Object.entries(form),
      ["audience", DATABASE],
      ["audience", GATEWAY],
    ];
    expect(await askForToken(idp, ["gateway", "gateway-secret"], twice)).toMatchObject({
      error: "invalid_target",
    });
  });

  it("does not outlive the subject token", async () => {
    const exp = Math.floor(Date.now() / 1000) + 20;
    const answer = await exchange(idp, await forge({ exp }));
    expect((await verify(idp, answer.access_token, DATABASE)).exp).toBe(exp);
    expect(answer.expires_in).toBeLessThanOrEqual(20);
    const long = await exchange(idp, await forge({ exp: exp + 86_400 }));
    expect(long.expires_in).toBe(300);
  });

  it("keeps the earlier actor when the client has none, as impersonating providers do", async () => {
    const answer = await exchange(idp, subject, {}, SILENT);
    expect((await verify(idp, answer.access_token, DATABASE))["act"]).toEqual(AGENT_ACTOR);
    const direct = await idp.signIn("alice", { clientId: "portal", audience: GATEWAY });
    const silent = await exchange(idp, direct, {}, SILENT);
    expect(await verify(idp, silent.access_token, DATABASE)).not.toHaveProperty("act");
  });

  it("does not grow the chain when a gateway exchanges its own token again", async () => {
    let token = subject;
    for (let round = 0; round < 4; round += 1) {
      const answer = await exchange(idp, token, { audience: GATEWAY });
      token = answer.access_token ?? "";
    }
    expect((await verify(idp, token, GATEWAY))["act"]).toEqual({
      ...GATEWAY_ACTOR,
      act: AGENT_ACTOR,
    });
  });

  it("narrows scopes of the same resource and never widens them", async () => {
    const again = { audience: GATEWAY };
    expect(await exchange(idp, subject, again)).toMatchObject({ scope: "tools:call" });
    expect(await exchange(idp, subject, { ...again, scope: "tools:list" })).toMatchObject({
      error: "invalid_scope",
    });
    expect(await exchange(idp, subject, { scope: "tools:call" })).toMatchObject({
      error: "invalid_scope",
    });
  });

  it("takes the actor from an actor token", async () => {
    const own = await askForToken(idp, ["agent", "agent secret:+%"], {
      grant_type: "client_credentials",
      audience: GATEWAY,
    });
    const direct = await idp.signIn("alice", { clientId: "portal", audience: GATEWAY });
    const answer = await exchange(idp, direct, {
      actor_token: own.access_token ?? "",
      actor_token_type: ACCESS_TOKEN,
    });
    expect((await verify(idp, answer.access_token, DATABASE))["act"]).toEqual(AGENT_ACTOR);
  });

  it("refuses an actor token that is bad, half given, a human's, or meant for another", async () => {
    const give = async (actor_token: string, more: Record<string, string> = {}) =>
      exchange(idp, subject, { actor_token, actor_token_type: ACCESS_TOKEN, ...more });
    const actor = { sub: AGENT_ACTOR.sub, client_id: "agent", aud: GATEWAY };
    const refused = { status: 400, error: "invalid_request" };
    expect(await give(await idp.forge(actor))).toMatchObject({ status: 200 });
    expect(await give(await idp.forge({ ...actor, exp: 1 }))).toMatchObject(refused);
    expect(await give(await idp.forge({ ...actor, aud: OTHER }))).toMatchObject(refused);
    expect(await give(await idp.forge({ ...actor, sub: "bob" }))).toMatchObject(refused);
    expect(await give(await idp.forge(actor), { actor_token_type: "urn:x" })).toMatchObject(
      refused,
    );
    expect(await exchange(idp, subject, { actor_token: await idp.forge(actor) })).toMatchObject(
      refused,
    );
    expect(await exchange(idp, subject, { actor_token_type: ACCESS_TOKEN })).toMatchObject(refused);
    // The token of an actor is no token of a human.
    expect(await exchange(idp, await idp.forge(actor))).toMatchObject(refused);
  });

  it("holds an actor to may_act, also one that is left out, and in the next exchange", async () => {
    const refused = { status: 400, error: "invalid_request" };
    const may = await forge({ may_act: { sub: GATEWAY_ACTOR.sub } });
    const first = await exchange(idp, may, { audience: GATEWAY });
    expect(await verify(idp, first.access_token, GATEWAY)).toMatchObject({
      may_act: { sub: GATEWAY_ACTOR.sub },
      act: GATEWAY_ACTOR,
    });
    expect(await exchange(idp, may, {}, SILENT)).toMatchObject(refused);
    expect(await exchange(idp, first.access_token ?? "", {}, SILENT)).toMatchObject(refused);
    expect(await exchange(idp, await forge({ may_act: AGENT_ACTOR }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({ may_act: "anybody" }))).toMatchObject(refused);
    const elsewhere = { sub: GATEWAY_ACTOR.sub, iss: "https://elsewhere" };
    expect(await exchange(idp, await forge({ may_act: elsewhere }))).toMatchObject(refused);
    // From the directory: only the agent may act for Carol.
    const carol = await idp.signIn("carol", { clientId: "agent", audience: GATEWAY });
    expect(await exchange(idp, carol)).toMatchObject(refused);
  });

  it("refuses a subject token that is not a live access token of a known human", async () => {
    const refused = { status: 400, error: "invalid_request" };
    expect(await exchange(idp, await forge({}))).toMatchObject({ status: 200 });
    expect(await exchange(idp, "")).toMatchObject(refused);
    expect(await exchange(idp, "not.a.jwt")).toMatchObject(refused);
    expect(await exchange(idp, await forge({ exp: 1 }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({ exp: undefined }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({ nbf: 9_999_999_999 }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({ iss: "https://elsewhere" }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({ sub: "mallory" }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({}, { typ: "JWT" }))).toMatchObject(refused);
    expect(await exchange(idp, await forge({}, { alg: "none" }))).toMatchObject(refused);
    expect(await exchange(idp, `${subject.slice(0, -4)}AAAA`)).toMatchObject(refused);
    expect(await exchange(idp, subject, { subject_token_type: "urn:x" })).toMatchObject(refused);
    expect(await exchange(idp, subject, { requested_token_type: "urn:x" })).toMatchObject(refused);
  });

  it("refuses a subject token that was issued for somebody else", async () => {
    const elsewhere = await idp.signIn("alice", { clientId: "agent", audience: OTHER });
    expect(await exchange(idp, elsewhere)).toMatchObject({ error: "invalid_request" });
    const several = await forge({ aud: [OTHER, GATEWAY] });
    expect(await exchange(idp, several)).toMatchObject({ status: 200 });
  });

  it("refuses targets that are unknown or not allowed, and clients that may not exchange", async () => {
    expect(await exchange(idp, subject, { audience: "urn:x" })).toMatchObject({
      error: "invalid_target",
    });
    expect(await exchange(idp, subject, { audience: OTHER })).toMatchObject({
      error: "invalid_target",
    });
    expect(await exchange(idp, subject, { audience: GATEWAY }, SILENT)).toMatchObject({
      error: "invalid_target",
    });
    expect(await exchange(idp, subject, {}, ["portal", "portal-secret"])).toMatchObject({
      error: "invalid_request",
    });
    expect(await exchange(idp, subject, {}, ["gateway", "wrong"])).toMatchObject({
      status: 401,
      error: "invalid_client",
    });
  });

  it("refuses a chain that is too long or broken", async () => {
    let act: object | undefined;
    for (let depth = 0; depth < 8; depth += 1) act = { sub: `actor ${depth}`, ...(act && { act }) };
    const answer = await exchange(idp, await forge({ act }));
    expect(answer).toMatchObject({ status: 400, error: "invalid_request" });
    expect(answer.error_description).toMatch(/9 entries, 8 are allowed/);
    expect(await exchange(idp, await forge({ act: "agent" }))).toMatchObject({
      error: "invalid_request",
    });
  });

  it("never takes protocol claims of the issued token from a forged subject token", async () => {
    const answer = await exchange(
      idp,
      await forge({ client_id: "portal", org_id: "other", cnf: { jkt: "x" } }),
    );
    const issued = await verify(idp, answer.access_token, DATABASE);
    expect(issued).toMatchObject({ client_id: "gateway", org_id: "acme" });
    expect(issued).not.toHaveProperty("cnf");
  });
});
