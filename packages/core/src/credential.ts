import type { Delegation } from "./delegation.ts";
import type { SubjectRef } from "./identity.ts";
import type { Secret } from "./secret.ts";

/** A token that one backend accepts as proof of one human. */
export interface Credential {
  readonly token: Secret;
  /** End of the token, in milliseconds since the epoch. */
  readonly expiresAtMs: number;
  /** The backend that it is for. */
  readonly audience: string;
}

/** Where an adapter gets the human's credential for its backend. It never falls back to another identity. */
export interface CredentialSource {
  /**
   * The human's credential.
   *
   * @throws BehalfError `identity.*`, `cancelled` when `signal` fires, `configuration`
   */
  credential(
    delegation: Delegation,
    options?: { readonly signal?: AbortSignal },
  ): Promise<Credential>;
  /** Drops this human's credentials; calls that wait for one are refused with `identity.revoked`. */
  invalidate(subject: SubjectRef): void;
}
