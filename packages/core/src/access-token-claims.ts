import { actorsOf, checkMayAct } from "./act-chain.ts";
import type { Identity, JsonValue } from "./identity.ts";
import { identityRefused } from "./identity-refusal.ts";
import { isIdentityName } from "./identity-name.ts";
import { Secret } from "./secret.ts";

export interface ClaimRules {
  readonly audience: string;
  readonly clockToleranceMs: number;
  readonly maxTokenAgeMs: number | undefined;
  readonly maxActors: number;
  readonly requireActor: boolean;
}

/** Last moment that a Date can hold. */
const LAST_MS = 8.64e15;

/**
 * Makes an identity of the claims of an RFC 9068 access token, whose signature and issuer are verified.
 *
 * The clock tolerance is for the beginning of a token only (`nbf`, `iat`), where a fresh token meets a
 * clock that is behind. `exp` has none: adapters and databases check it too, by their own clocks, and
 * must not refuse what was accepted here.
 *
 * @throws BehalfError `identity.rejected`, `identity.expired`, `identity.not_yet_valid`
 */
export function identityOf(
  token: string,
  claims: Readonly<Record<string, unknown>>,
  rules: ClaimRules,
  nowMs: number,
): Identity {
  const issuer = nameClaim(claims, "iss");
  const subject = nameClaim(claims, "sub");
  const clientId = nameClaim(claims, "client_id");
  const tokenId = nameClaim(claims, "jti");
  const expiresAtMs = timeClaim(claims, "exp");
  const issuedAtMs = timeClaim(claims, "iat");
  const audience = audienceOf(claims["aud"]);
  if (!audience.includes(rules.audience)) {
    throw identityRefused("audience", `the token is not for ${rules.audience}`);
  }
  const notBeforeMs = claims["nbf"] === undefined ? issuedAtMs : timeClaim(claims, "nbf");
  if (expiresAtMs <= nowMs) throw identityRefused("expired", "the token has expired; refresh it");
  if (notBeforeMs > nowMs + rules.clockToleranceMs) {
    const reason = claims["nbf"] === undefined ? "issued_in_future" : "not_before";
    throw identityRefused(reason, "the token is not valid yet; compare the clocks");
  }
  if (issuedAtMs > nowMs + rules.clockToleranceMs) {
    throw identityRefused("issued_in_future", "the token is from the future; compare the clocks");
  }
  if (rules.maxTokenAgeMs !== undefined && nowMs - issuedAtMs > rules.maxTokenAgeMs) {
    throw identityRefused("too_old", "the token was issued too long ago; obtain a new one");
  }

  const actors = actorsOf(own(claims, "act"), rules.maxActors);
  checkMayAct(own(claims, "may_act"), actors, issuer);
  if (rules.requireActor && actors.length === 0) {
    throw identityRefused("actor_required", "an actor is required and the token has no act claim");
  }
  return Object.freeze({
    issuer,
    subject,
    actors,
    audience: Object.freeze(audience),
    clientId,
    tokenId,
    expiresAtMs,
    issuedAtMs,
    claims: frozenJson(claims),
    token: new Secret(token),
  });
}

function own(claims: Readonly<Record<string, unknown>>, name: string): unknown {
  return Object.hasOwn(claims, name) ? claims[name] : undefined;
}

function nameClaim(claims: Readonly<Record<string, unknown>>, name: string): string {
  const value = own(claims, name);
  if (isIdentityName(value)) return value;
  throw identityRefused("required_claim", `the claim ${name} is missing or not a usable name`);
}

function timeClaim(claims: Readonly<Record<string, unknown>>, name: string): number {
  const value = own(claims, name);
  const ms = typeof value === "number" ? Math.floor(value * 1000) : Number.NaN;
  if (ms >= 0 && ms <= LAST_MS) return ms;
  throw identityRefused("required_claim", `the claim ${name} is missing or not a time`);
}

function audienceOf(value: unknown): string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const names = list.filter(isIdentityName);
  if (names.length > 0 && names.length === list.length) return names;
  throw identityRefused("required_claim", "the claim aud is missing or not a list of names");
}

/** The claims as JSON that nobody can change: a cached identity serves many calls. */
function frozenJson(claims: Readonly<Record<string, unknown>>): Identity["claims"] {
  const frozen = freeze(claims);
  if (isJsonMembers(frozen)) return frozen;
  throw identityRefused("malformed", "the claims are not a JSON object");
}

function freeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}

// What JSON.parse made is JSON: only its type has to be told.
function isJsonMembers(value: unknown): value is { readonly [name: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
