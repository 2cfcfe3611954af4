import type { Principal } from "./adapter.ts";
import type { Delegation } from "./delegation.ts";
import { BehalfError } from "./errors.ts";

/**
 * Compares whom the backend says that it sees with whom the delegation names. An adapter does it for each call,
 * before anything else: what was mixed up on the way, by a cache, an identity provider or a driver, is found
 * out before it shows anybody's data. The backend's answer may be kept with what it was given for.
 *
 * @param principal the backend's own answer, never the delegation's
 * @throws BehalfError `backend.identity_mismatch`
 * @example
 * ```ts
 * assertPrincipal(await whoAmI(client), delegation, "warehouse");
 * ```
 */
export function assertPrincipal(
  principal: Pick<Principal, "subject">,
  { identity }: Pick<Delegation, "identity">,
  backend: string,
): void {
  const { subject } = principal;
  if (subject?.issuer === identity.issuer && subject.subject === identity.subject) return;
  throw new BehalfError(
    "backend.identity_mismatch",
    `[${backend}] the backend sees ${subject === null ? "nobody" : "another human"} where the delegation names one; nothing was asked for. Report it: credentials were mixed up`,
    { backend },
  );
}
