import { isRecord, nestActors, readActors, type ActClaim } from "./openid-actors.ts";
import {
  ACCESS_TOKEN_TYPE,
  humanClaims,
  issueAccessToken,
  refuse,
  requestedResource,
  requestedScopes,
  type GrantContext,
  type Issuer,
} from "./openid-issue.ts";
import type { LocalActor, LocalClient, LocalResource } from "./openid-options.ts";
import { audiencesOf, verifyOwnToken, type OwnToken } from "./openid-verify.ts";

export const TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange";

const JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt";
const TOKEN_TYPES: readonly unknown[] = [ACCESS_TOKEN_TYPE, JWT_TYPE];

export interface ExchangeParameters {
  readonly subject_token?: string | undefined;
  readonly subject_token_type?: string | undefined;
  readonly actor_token?: string | undefined;
  readonly actor_token_type?: string | undefined;
  readonly requested_token_type?: string | undefined;
}

export const EXCHANGE_PARAMETERS: readonly string[] = [
  "subject_token",
  "subject_token_type",
  "actor_token",
  "actor_token_type",
  "requested_token_type",
  "audience",
  "resource",
  "scope",
];

/** RFC 8693: a client trades the token of a human, issued for this client, for one for another resource. */
export async function exchangeToken(
  issuer: Issuer,
  ctx: GrantContext<ExchangeParameters>,
): Promise<void> {
  const { params } = ctx.oidc;
  const client = issuer.directory.client(ctx.oidc.client.clientId);
  if (client === undefined) refuse("unauthorized_client", "this client is not in the directory");
  checkTypes(params);
  const subject = await verifyOwnToken(issuer, "subject_token", params.subject_token ?? "");
  checkReceived("subject_token", subject, client.audiences);
  const resource = requestedResource(issuer, params);
  if (client.mayExchangeFor?.includes(resource.audience) !== true) {
    refuse("invalid_target", `${client.clientId} may not exchange for ${resource.audience}`);
  }
  if (issuer.directory.human(subject.sub) === undefined) {
    refuse("invalid_request", "the subject is no human of this provider, or is revoked");
  }

  const actor = await currentActor(issuer, client, params);
  checkMayAct(issuer, subject, actor);
  const act = nest(actor, subject);
  const mayAct = subject["may_act"];
  await issueAccessToken(issuer, ctx, {
    sub: subject.sub,
    resource,
    scopes: grantedScopes(subject, resource, params.scope),
    claims: {
      ...humanClaims(issuer.directory, subject.sub, act),
      // One exchange does not free the next from the limit.
      ...(mayAct === undefined ? {} : { may_act: mayAct }),
    },
    notAfter: subject.exp,
    issuedTokenType: params.requested_token_type ?? ACCESS_TOKEN_TYPE,
  });
}

function checkTypes(params: ExchangeParameters): void {
  if (params.subject_token === undefined) refuse("invalid_request", "subject_token is missing");
  if (!TOKEN_TYPES.includes(params.subject_token_type)) {
    refuse("invalid_request", `subject_token_type must be ${TOKEN_TYPES.join(" or ")}`);
  }
  if ((params.actor_token === undefined) !== (params.actor_token_type === undefined)) {
    refuse("invalid_request", "actor_token and actor_token_type need one another");
  }
  if (params.actor_token !== undefined && !TOKEN_TYPES.includes(params.actor_token_type)) {
    refuse("invalid_request", `actor_token_type must be ${TOKEN_TYPES.join(" or ")}`);
  }
  if (
    params.requested_token_type !== undefined &&
    !TOKEN_TYPES.includes(params.requested_token_type)
  ) {
    refuse("invalid_request", `requested_token_type must be ${TOKEN_TYPES.join(" or ")}`);
  }
}

function checkReceived(name: string, token: OwnToken, audiences: readonly string[] = []): void {
  if (!audiencesOf(token).some((audience) => audiences.includes(audience))) {
    refuse("invalid_request", `the ${name} was not issued for this client to receive`);
  }
}

async function currentActor(
  issuer: Issuer,
  client: LocalClient,
  params: ExchangeParameters,
): Promise<LocalActor | undefined> {
  if (params.actor_token === undefined) return client.actor;
  const token = await verifyOwnToken(issuer, "actor_token", params.actor_token);
  if (token["client_id"] !== client.clientId) {
    checkReceived("actor_token", token, client.audiences);
  }
  return (
    issuer.directory.actor(token.sub) ??
    refuse("invalid_request", "the subject of the actor_token is no actor of this provider")
  );
}

function checkMayAct(issuer: Issuer, subject: OwnToken, actor: LocalActor | undefined): void {
  const mayAct = subject["may_act"];
  if (mayAct === undefined) return;
  const foreign = isRecord(mayAct) && mayAct["iss"] !== undefined && mayAct["iss"] !== issuer.url;
  if (!isRecord(mayAct) || foreign || actor === undefined || mayAct["sub"] !== actor.sub) {
    refuse("invalid_request", "may_act of the subject_token does not name this actor");
  }
}

function nest(actor: LocalActor | undefined, subject: OwnToken): ActClaim | undefined {
  try {
    return nestActors(actor, readActors(subject["act"]));
  } catch (error) {
    return refuse("invalid_request", error instanceof Error ? error.message : String(error));
  }
}

/** Scopes belong to a resource: they carry over, and limit, only where the resource stays the same. */
function grantedScopes(
  subject: OwnToken,
  resource: LocalResource,
  scope: string | undefined,
): readonly string[] {
  const requested = requestedScopes(scope, resource);
  if (!audiencesOf(subject).includes(resource.audience)) return requested ?? [];
  const held = typeof subject["scope"] === "string" ? subject["scope"].split(" ") : [];
  const wider = requested?.find((name) => !held.includes(name));
  if (wider !== undefined) {
    refuse("invalid_scope", `the subject_token does not hold the scope ${wider}`);
  }
  return requested ?? held;
}
