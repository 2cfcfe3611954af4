import { nestActors } from "./openid-actors.ts";
import {
  humanClaims,
  issueAccessToken,
  refuse,
  requestedResource,
  requestedScopes,
  type GrantContext,
  type Issuer,
} from "./openid-issue.ts";

/** Development only: a token for a human by name, without any proof. */
export const LOCAL_SIGN_IN = "urn:behalf:params:oauth:grant-type:local-sign-in";

export const SIGN_IN_PARAMETERS: readonly string[] = ["username", "audience", "resource", "scope"];

export interface SignInParameters {
  readonly username?: string | undefined;
}

export async function signInLocally(
  issuer: Issuer,
  ctx: GrantContext<SignInParameters>,
): Promise<void> {
  const { params, client } = ctx.oidc;
  const human = issuer.directory.human(params.username);
  if (human === undefined) {
    refuse(
      "invalid_grant",
      `there is no human ${params.username ?? "(username is missing)"}, or they are revoked`,
    );
  }
  const actor = issuer.directory.client(client.clientId)?.actor;
  if (human.mayAct !== undefined && actor !== undefined && human.mayAct.sub !== actor.sub) {
    refuse("invalid_grant", `${actor.sub} may not act for ${human.sub}`);
  }
  const resource = requestedResource(issuer, params);
  await issueAccessToken(issuer, ctx, {
    sub: human.sub,
    resource,
    scopes: requestedScopes(params.scope, resource) ?? [],
    claims: humanClaims(issuer.directory, human.sub, nestActors(actor, [])),
  });
}

/** A token of the client's own actor, to be the actor_token of an exchange. */
export async function signInActor(issuer: Issuer, ctx: GrantContext<object>): Promise<void> {
  const { params, client } = ctx.oidc;
  const actor = issuer.directory.client(client.clientId)?.actor;
  if (actor === undefined) refuse("unauthorized_client", `${client.clientId} is no actor`);
  const resource = requestedResource(issuer, params);
  const { sub, ...facts } = actor;
  await issueAccessToken(issuer, ctx, {
    sub,
    resource,
    scopes: requestedScopes(params.scope, resource) ?? [],
    claims: facts,
  });
}
