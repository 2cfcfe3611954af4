import { randomBytes } from "node:crypto";
import type { AdapterFactory, ClientMetadata, Configuration } from "oidc-provider";
import { nestActors } from "./openid-actors.ts";
import { TOKEN_EXCHANGE } from "./openid-exchange.ts";
import { humanClaims, refuse, resourceServer, type Issuer } from "./openid-issue.ts";
import { escape, LOGIN_PATH } from "./openid-login-page.ts";
import type { LocalClient } from "./openid-options.ts";
import { LOCAL_SIGN_IN } from "./openid-sign-in.ts";

const DAY_SECONDS = 86_400;

export interface ConfigurationParts {
  readonly issuer: Issuer;
  readonly store: AdapterFactory;
  readonly cookieKeys: readonly string[];
}

export function cookieKeys(): readonly string[] {
  return [randomBytes(32).toString("base64url")];
}

/** What oidc-provider is told. Each default that it would announce on the console is set here. */
export function providerConfiguration({
  issuer,
  store,
  cookieKeys: keys,
}: ConfigurationParts): Configuration {
  const { directory, keys: keyring } = issuer;
  return {
    adapter: store,
    clients: directory.clients.map((client) => clientMetadata(client, keyring.algorithm)),
    clientBasedCORS: () => false,
    // Name and e-mail in the ID token, where a small client looks for them.
    conformIdTokenClaims: false,
    claims: { openid: ["sub"], profile: ["name"], email: ["email"] },
    cookies: { keys: [...keys] },
    jwks: { keys: keyring.privateKeys().map((key) => ({ ...key, kty: key.kty ?? "" })) },
    pkce: { required: () => true },
    features: {
      devInteractions: { enabled: false },
      // The grant types of this package would not look at a proof.
      dPoP: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_ctx, indicator) => {
          const resource = directory.resource(indicator);
          if (resource === undefined) refuse("invalid_target", `there is no resource ${indicator}`);
          return resourceServer(issuer, resource);
        },
        useGrantedResource: () => true,
      },
    },
    findAccount: (_ctx, sub) => {
      const human = directory.human(sub);
      if (human === undefined) return undefined;
      const { name, email } = human;
      return { accountId: sub, claims: () => ({ sub, name, email }) };
    },
    extraTokenClaims: (ctx, token) => {
      const claims = issuer.extraClaims.get(token);
      if (claims !== undefined) return { ...claims };
      if (token.kind !== "AccessToken") return undefined;
      const actor = directory.client(ctx.oidc.client?.clientId ?? "")?.actor;
      return { ...humanClaims(directory, token.accountId, nestActors(actor, [])) };
    },
    interactions: { url: (_ctx, interaction) => `${LOGIN_PATH}${interaction.uid}` },
    // The page asks who somebody is, not what they consent to.
    loadExistingGrant: async (ctx) => {
      const { client, provider, resourceServers, session } = ctx.oidc;
      if (client === undefined || session?.accountId === undefined) return undefined;
      const grant = new provider.Grant({ accountId: session.accountId, clientId: client.clientId });
      grant.addOIDCScope("openid profile email offline_access");
      for (const [indicator, server] of Object.entries(resourceServers ?? {})) {
        grant.addResourceScope(indicator, server.scope);
      }
      await grant.save();
      return grant;
    },
    renderError: (ctx, out) => {
      ctx.type = "html";
      ctx.body = `<!doctype html><html lang="en"><title>Refused</title><p>${escape(`${out.error}: ${out.error_description ?? ""}`)}</p></html>\n`;
    },
    scopes: ["openid", "profile", "email", "offline_access"],
    ttl: {
      AccessToken: issuer.accessTokenTtlSeconds,
      AuthorizationCode: 60,
      Grant: DAY_SECONDS,
      IdToken: issuer.accessTokenTtlSeconds,
      Interaction: 3600,
      RefreshToken: DAY_SECONDS,
      Session: DAY_SECONDS,
    },
  };
}

function clientMetadata(client: LocalClient, algorithm: "RS256" | "ES256"): ClientMetadata {
  const redirects = [...(client.redirectUris ?? [])];
  const grants = [
    ...(redirects.length === 0 ? [] : ["authorization_code", "refresh_token"]),
    ...(client.mayExchangeFor === undefined ? [] : [TOKEN_EXCHANGE]),
    ...(client.localSignIn === true ? [LOCAL_SIGN_IN] : []),
    ...(client.actor === undefined ? [] : ["client_credentials"]),
  ];
  return {
    client_id: client.clientId,
    client_secret: client.clientSecret,
    grant_types: grants,
    id_token_signed_response_alg: algorithm,
    redirect_uris: redirects,
    response_types: redirects.length === 0 ? [] : ["code"],
    // Accepts client_secret_post as well.
    token_endpoint_auth_method: "client_secret_basic",
  };
}
