import { createHash, randomBytes } from "node:crypto";
import { decodeJwt } from "jose";
import { describe, expect, it } from "vitest";
import { askForToken, GATEWAY, REDIRECT, startExample, verify } from "../fixtures/openid.ts";
import type { LocalOpenIdProvider } from "./index.ts";

/** A browser as far as this flow needs one: cookies, redirects within the provider, one form. */
function browser(idp: LocalOpenIdProvider) {
  const cookies = new Map<string, string>();
  async function go(
    url: string,
    form?: Record<string, string>,
  ): Promise<{ url: string; page: string; status: number }> {
    const response = await fetch(url, {
      redirect: "manual",
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join("; ") },
      ...(form === undefined ? {} : { method: "POST", body: new URLSearchParams(form) }),
    });
    for (const line of response.headers.getSetCookie()) {
      const [name = "", value = ""] = (line.split(";")[0] ?? "").split("=");
      cookies.set(name, value);
    }
    const page = await response.text();
    const location = response.headers.get("location");
    if (location === null) return { url, page, status: response.status };
    const next = new URL(location, url).href;
    return next.startsWith(idp.issuer) ? go(next) : { url: next, page, status: response.status };
  }
  return { go };
}

describe("browser flow", () => {
  const verifier = randomBytes(32).toString("base64url");
  function authorizeUrl(idp: LocalOpenIdProvider, more: Record<string, string> = {}): string {
    const params = new URLSearchParams({
      client_id: "agent",
      redirect_uri: REDIRECT,
      response_type: "code",
      scope: "openid profile tools:call",
      resource: GATEWAY,
      state: "s",
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      ...more,
    });
    return `${idp.issuer}/auth?${params.toString()}`;
  }
  const redeem = (idp: LocalOpenIdProvider, code: string) =>
    askForToken(idp, ["agent", "agent secret:+%"], {
      grant_type: "authorization_code",
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT,
    });

  it("lets a person choose who they are and ends in a token with the agent as actor", async () => {
    await using idp = await startExample();
    const { go } = browser(idp);
    const login = await go(authorizeUrl(idp));
    expect(login.status).toBe(200);
    expect(login.page).toContain("Alice (alice)");
    // The instance behind the server changes in the middle of the login.
    await idp.rotateKeys();
    const done = new URL((await go(login.url, { sub: "alice" })).url);
    expect(done.href.split("?")[0]).toBe(REDIRECT);
    expect(done.searchParams.get("iss")).toBe(idp.issuer);
    const answer = await redeem(idp, done.searchParams.get("code") ?? "");
    expect(await verify(idp, answer.access_token, GATEWAY)).toMatchObject({
      sub: "alice",
      org_id: "acme",
      scope: "tools:call",
      act: { sub: "urn:example:agent", sub_profile: "ai_agent" },
    });
    const idToken = "id_token" in answer ? String(answer.id_token) : "";
    expect(decodeJwt(idToken)).toMatchObject({ sub: "alice", name: "Alice", aud: "agent" });
    expect(decodeJwt(idToken)).not.toHaveProperty("email");
  });

  it("admits known humans only, and PKCE only", async () => {
    await using idp = await startExample();
    const first = browser(idp);
    const login = await first.go(authorizeUrl(idp));
    const refused = new URL((await first.go(login.url, { sub: "mallory" })).url);
    expect(refused.searchParams.get("error")).toBe("access_denied");

    const second = browser(idp);
    const page = await second.go(authorizeUrl(idp));
    idp.revokeHuman("bob");
    expect((await second.go(page.url)).page).not.toContain("bob");
    const revoked = new URL((await second.go(page.url, { sub: "bob" })).url);
    expect(revoked.searchParams.get("error")).toBe("access_denied");

    const plain = new URL(authorizeUrl(idp));
    plain.searchParams.delete("code_challenge");
    plain.searchParams.delete("code_challenge_method");
    const without = new URL((await browser(idp).go(plain.href)).url);
    expect(without.searchParams.get("error")).toBe("invalid_request");
  });

  it("redeems no code of a human who was revoked after the login", async () => {
    await using idp = await startExample();
    const { go } = browser(idp);
    const login = await go(authorizeUrl(idp));
    const done = new URL((await go(login.url, { sub: "alice" })).url);
    idp.revokeHuman("alice");
    expect(await redeem(idp, done.searchParams.get("code") ?? "")).toMatchObject({
      error: "invalid_grant",
    });
  });

  it("answers a login that nobody began with an error page, without markup of the request", async () => {
    await using idp = await startExample();
    const stray = await fetch(`${idp.issuer}/interaction/%3Cscript%3E`);
    expect(stray.status).toBe(400);
    expect(await stray.text()).not.toContain("<script>");
  });
});
