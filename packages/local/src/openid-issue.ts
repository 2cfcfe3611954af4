import { randomUUID } from "node:crypto";
import { errors, type ResourceServer, type TokenEndpointGrantContext } from "oidc-provider";
import type { ActClaim } from "./openid-actors.ts";
import type { Keyring } from "./openid-keys.ts";
import type { Directory, LocalResource } from "./openid-options.ts";

/** What the grant types work with. */
export interface Issuer {
  readonly url: string;
  readonly directory: Directory;
  readonly keys: Keyring;
  readonly accessTokenTtlSeconds: number;
  /** The claims beyond those of the protocol, by token: `extraTokenClaims` is asked per token. */
  readonly extraClaims: WeakMap<object, Readonly<Record<string, unknown>>>;
}

export const ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token";

export interface TargetParameters {
  readonly audience?: string | string[] | undefined;
  readonly resource?: string | string[] | undefined;
}

export type GrantContext<Params> = TokenEndpointGrantContext<Params & TargetParameters>;

/** Refuses a request and says why: unlike oidc-provider, which hides the detail from clients. */
export function refuse(error: string, why: string): never {
  throw new errors.CustomOIDCProviderError(error, why);
}

export function resourceServer(issuer: Issuer, resource: LocalResource): ResourceServer {
  return {
    audience: resource.audience,
    scope: (resource.scopes ?? []).join(" "),
    accessTokenFormat: "jwt",
    accessTokenTTL: issuer.accessTokenTtlSeconds,
    // Which of several keys signs is said here, since an old one is in the key set as well.
    jwt: { sign: { alg: issuer.keys.algorithm, kid: issuer.keys.current.kid } },
  };
}

/** The one resource that `audience` and `resource` name together. */
export function requestedResource(issuer: Issuer, params: TargetParameters): LocalResource {
  const names = new Set([params.audience ?? [], params.resource ?? []].flat());
  const [name] = names;
  if (name === undefined || names.size > 1) {
    refuse("invalid_target", "name one target in `audience` or `resource`");
  }
  return (
    issuer.directory.resource(name) ?? refuse("invalid_target", `there is no resource ${name}`)
  );
}

/** The scopes of a request, each known to the resource; `undefined` when none was asked for. */
export function requestedScopes(
  scope: string | undefined,
  resource: LocalResource,
): readonly string[] | undefined {
  const scopes = scope?.split(" ").filter((name) => name !== "");
  const unknown = scopes?.find((name) => resource.scopes?.includes(name) !== true);
  if (unknown !== undefined) {
    refuse("invalid_scope", `${resource.audience} does not know the scope ${unknown}`);
  }
  return scopes;
}

export interface AccessTokenRequest {
  readonly sub: string;
  readonly resource: LocalResource;
  readonly scopes: readonly string[];
  readonly claims: Readonly<Record<string, unknown>>;
  /** Seconds since the epoch. Default is the provider's lifetime from now. */
  readonly notAfter?: number;
  readonly issuedTokenType?: string;
}

/** Signs an access token for the client of this request and answers with it. */
export async function issueAccessToken<Params>(
  issuer: Issuer,
  ctx: GrantContext<Params>,
  request: AccessTokenRequest,
): Promise<void> {
  const { provider, client, params } = ctx.oidc;
  const now = Math.floor(Date.now() / 1000);
  const exp = Math.min(now + issuer.accessTokenTtlSeconds, request.notAfter ?? Infinity);
  const { audience } = request.resource;
  const token = new provider.AccessToken({
    accountId: request.sub,
    client,
    grantId: randomUUID(),
    gty: params.grant_type,
    iat: now,
    // Set as a moment: the provider would count a duration from the later moment of signing.
    exp,
    resourceServer: new provider.ResourceServer(audience, resourceServer(issuer, request.resource)),
    scope: request.scopes.join(" ") || undefined,
  });
  issuer.extraClaims.set(token, request.claims);
  const value = await token.save();
  ctx.body = {
    access_token: value,
    ...(request.issuedTokenType === undefined
      ? {}
      : { issued_token_type: request.issuedTokenType }),
    token_type: "Bearer",
    expires_in: exp - now,
    ...(request.scopes.length === 0 ? {} : { scope: request.scopes.join(" ") }),
  };
}

/** The claims of a human's token beyond those that the protocol sets. */
export function humanClaims(
  directory: Directory,
  sub: string,
  act: ActClaim | undefined,
): Readonly<Record<string, unknown>> {
  const human = directory.human(sub);
  return {
    ...human?.claims,
    ...(human?.mayAct === undefined ? {} : { may_act: { ...human.mayAct } }),
    ...(act === undefined ? {} : { act }),
  };
}
