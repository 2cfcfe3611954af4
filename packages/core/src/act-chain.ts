import type { Actor } from "./identity.ts";
import { identityRefused } from "./identity-refusal.ts";
import { isIdentityName } from "./identity-name.ts";
import { isJsonObject } from "./json-object.ts";

/**
 * Reads an RFC 8693 `act` claim: a list of actors, the current one first. Neighbours that are the same
 * actor become one, because a gateway that exchanges its own token again nests itself each time.
 *
 * @param claim the claim, or `undefined` where the token has none
 * @param maxActors most links, counted before neighbours are collapsed
 * @throws BehalfError `identity.rejected`, reason `act`
 */
export function actorsOf(claim: unknown, maxActors: number): readonly Actor[] {
  const actors: Actor[] = [];
  let links = 0;
  for (let link = claim; link !== undefined; links++) {
    if (links === maxActors) {
      throw identityRefused("act", `the act claim has more than ${maxActors} links`);
    }
    if (!isJsonObject(link)) throw malformed("every act must be an object");
    const actor = actorOf(link);
    const before = actors.at(-1);
    if (before?.subject !== actor.subject || before.issuer !== actor.issuer) actors.push(actor);
    link = Object.hasOwn(link, "act") ? link["act"] : undefined;
  }
  return Object.freeze(actors);
}

/**
 * Checks the current actor against an RFC 8693 `may_act` claim. A subject that limits who may act needs
 * an actor: Keycloak routed an exchange without one to plain impersonation (issue 52691).
 *
 * @param tokenIssuer the `iss` of an actor that names none of its own
 * @throws BehalfError `identity.rejected`, reason `actor_required` or `may_act`
 */
export function checkMayAct(mayAct: unknown, actors: readonly Actor[], tokenIssuer: string): void {
  if (mayAct === undefined) return;
  const [current] = actors;
  if (current === undefined) {
    throw identityRefused("actor_required", "the token has may_act but no actor");
  }
  if (!isJsonObject(mayAct) || !isIdentityName(mayAct["sub"])) {
    throw identityRefused("may_act", "the may_act claim must be an object with a sub");
  }
  const issuer = mayAct["iss"];
  const isAllowed =
    mayAct["sub"] === current.subject &&
    (issuer === undefined || issuer === (current.issuer ?? tokenIssuer));
  if (!isAllowed) throw identityRefused("may_act", "the current actor is not the one in may_act");
}

function actorOf(link: Readonly<Record<string, unknown>>): Actor {
  const { sub, iss, sub_profile: profile } = link;
  if (!isIdentityName(sub)) throw malformed("every act must have a usable sub");
  if (iss !== undefined && !isIdentityName(iss)) throw malformed("an act has an unusable iss");
  if (profile !== undefined && !isIdentityName(profile)) {
    throw malformed("an act has an unusable sub_profile");
  }
  return Object.freeze({
    subject: sub,
    ...(iss === undefined ? {} : { issuer: iss }),
    ...(profile === undefined ? {} : { profile }),
  });
}

function malformed(why: string): Error {
  return identityRefused("act", `the act claim is malformed: ${why}`);
}
