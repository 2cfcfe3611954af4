import { assertDelegation } from "./assert-delegation.ts";
import type { CredentialSource } from "./credential.ts";
import { BehalfError } from "./errors.ts";
import { textOption } from "./option-checks.ts";

/**
 * A {@link CredentialSource} that hands the human's own token to the backend, for the one case in which
 * that is right: the token was issued for this backend. The Model Context Protocol forbids a server
 * to pass on a token that was issued for the server itself; such a token is refused here.
 *
 * @param audience the backend's name, which must stand in the token's `aud` letter by letter
 * @throws BehalfError `configuration` when `audience` is empty; later `identity.rejected`, reason
 *   `audience`
 * @example
 * ```ts
 * const credentials = passthrough("postgres:analytics");
 * ```
 */
export function passthrough(audience: string): CredentialSource {
  textOption("audience", audience);
  return {
    async credential(delegation) {
      assertDelegation(delegation);
      const { identity, callId } = delegation;
      if (!identity.audience.includes(audience)) {
        throw new BehalfError(
          "identity.rejected",
          `the human's token is not for ${audience}, so it must not go there; exchange it`,
          { reason: "audience", callId },
        );
      }
      return Object.freeze({
        token: identity.token,
        expiresAtMs: identity.expiresAtMs,
        audience,
      });
    },
    // Nothing is kept.
    invalidate: () => undefined,
  };
}
