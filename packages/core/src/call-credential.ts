import { type CallClock, orStopped } from "./call-clock.ts";
import type { Credential, CredentialSource } from "./credential.ts";
import type { Delegation } from "./delegation.ts";
import { BehalfError } from "./errors.ts";

/**
 * The human's credential, where it is one; {@link assertFresh} says whether its time is over. Waits no longer
 * than the clock.
 *
 * @throws BehalfError what the source throws; `identity.unavailable` (reason `unexpected`) where that is no
 *   BehalfError, or what the source gave is no credential
 */
export async function callCredential(
  source: CredentialSource,
  delegation: Delegation,
  clock: CallClock,
  backend: string,
): Promise<Credential> {
  let credential;
  try {
    // A getter: most sources have the credential at hand, and need no signal made for them.
    const wait = {
      get signal() {
        return clock.signal;
      },
    };
    credential = await orStopped(source.credential(delegation, wait), clock);
  } catch (error) {
    throw BehalfError.isInstance(error) ? error : noCredential(error, backend);
  }
  if (typeof credential?.token?.reveal !== "function") throw noCredential(credential, backend);
  const { expiresAtMs } = credential;
  if (typeof expiresAtMs !== "number" || Number.isNaN(expiresAtMs)) {
    throw noCredential(credential, backend);
  }
  clock.stopIn(expiresAtMs - Date.now(), () => expired(backend));
  return credential;
}

/** @throws BehalfError `identity.expired` (reason `credential`) */
export function assertFresh(credential: Credential, backend: string): Credential {
  if (credential.expiresAtMs > Date.now()) return credential;
  throw expired(backend);
}

function expired(backend: string): BehalfError {
  return new BehalfError(
    "identity.expired",
    `[${backend}] the credential for this backend has expired, so it is not used; the credential source must hand out a fresh one`,
    { backend, reason: "credential" },
  );
}

/** A defect in a credential source. What it threw may quote the token. */
function noCredential(error: unknown, backend: string): BehalfError {
  return new BehalfError(
    "identity.unavailable",
    `[${backend}] the credential source failed in an unexpected way`,
    {
      backend,
      reason: "unexpected",
      ...(error instanceof Error ? { nativeCode: error.name } : {}),
    },
  );
}
