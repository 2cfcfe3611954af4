import { BehalfError, type BehalfErrorCode } from "@behalf/core";

import { MemoryBackendError } from "./memory-protocol.ts";

const CODES: { readonly [native in MemoryBackendError["code"]]: BehalfErrorCode } = {
  bad_ticket: "identity.rejected",
  bad_token: "identity.rejected",
  connection_lost: "backend.unavailable",
  denied: "backend.denied",
  division_by_zero: "backend.failed",
  no_transaction: "backend.failed",
  read_only: "backend.denied",
  stopped: "cancelled",
  syntax: "statement.refused",
  transaction_aborted: "backend.failed",
};

/** Translates an error of the backend. Pure. */
export function mapMemoryError(error: unknown): BehalfError {
  if (error instanceof MemoryBackendError) {
    const { code: nativeCode, message } = error;
    return new BehalfError(CODES[nativeCode], `[memory] ${message}`, {
      backend: "memory",
      nativeCode,
      cause: error,
    });
  }
  const name = error instanceof Error ? error.name : typeof error;
  return new BehalfError(
    "backend.failed",
    `[memory] the call failed in an unexpected way (${name})`,
    {
      backend: "memory",
      reason: "unexpected",
    },
  );
}
