import { BehalfError } from "./errors.ts";

/**
 * The mapping for errors that nobody knows. The message of such an error may quote a token, so only its name
 * and its `code` are kept.
 */
export function unexpectedError(error: unknown, backend: string): BehalfError {
  if (BehalfError.isInstance(error)) return error;
  const name = error instanceof Error ? error.name : typeof error;
  const nativeCode =
    error instanceof Error && "code" in error && typeof error.code === "string"
      ? error.code
      : undefined;
  return new BehalfError(
    "backend.failed",
    `[${backend}] the call failed in an unexpected way (${name}); trying again will not help`,
    { backend, reason: "unexpected", ...(nativeCode === undefined ? {} : { nativeCode }) },
  );
}

/** The same error where nobody can say any more that nothing was changed. */
export function withUnknownEffect(error: BehalfError): BehalfError {
  if (error.effect === "unknown") return error;
  const { code, message, reason, nativeCode, backend, callId, cause } = error;
  return new BehalfError(
    code,
    `${message}; the change may have been made: look before you try again`,
    {
      effect: "unknown",
      ...(reason === undefined ? {} : { reason }),
      ...(nativeCode === undefined ? {} : { nativeCode }),
      ...(backend === undefined ? {} : { backend }),
      ...(callId === undefined ? {} : { callId }),
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
