import { BehalfError, type BehalfErrorCode, type BehalfErrorFacts } from "@behalf/core";

import { cleanCause } from "./postgres-cause.ts";

/** The fields of a server error that the adapter reads. `pg` and postgres.js both have them. */
interface ServerError extends Error {
  readonly code: string;
  readonly severity: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** SQLSTATEs of the in-database kit (class ZB). */
const KIT: Readonly<Record<string, BehalfErrorCode>> = {
  ZB001: "identity.rejected",
  ZB002: "identity.expired",
  ZB003: "identity.rejected",
  ZB004: "identity.revoked",
  ZB005: "backend.denied",
  ZB006: "identity.not_yet_valid",
  ZB007: "configuration",
  ZB008: "identity.rejected",
  ZB009: "task.scope_exceeded",
  ZB010: "backend.identity_mismatch",
};

const CODES: Readonly<Record<string, BehalfErrorCode>> = {
  // Authorisation
  "42501": "backend.denied",
  // The transaction is READ ONLY.
  "25006": "backend.denied",
  // A deadline of the server, or a cancel that the adapter did not send.
  "57014": "timeout",
  "25P03": "timeout",
  "25P04": "timeout",
  // A mistake in the protocol, such as a number of values that does not fit the statement.
  "08P01": "backend.failed",
  // The server goes away or is not there yet.
  "57P01": "backend.unavailable",
  "57P02": "backend.unavailable",
  "57P03": "backend.unavailable",
  "57P04": "backend.unavailable",
  "57P05": "backend.unavailable",
};

/** The server chose this transaction to give way to another one: the very same call may succeed. */
const ROLLED_BACK: ReadonlySet<string> = new Set(["40001", "40P01"]);

const CLASSES: Readonly<Record<string, BehalfErrorCode>> = {
  // connection exception, invalid authorization, invalid catalog name, insufficient resources
  "08": "backend.unavailable",
  "28": "backend.unavailable",
  "3D": "backend.unavailable",
  "53": "backend.failed",
  // syntax error or access rule violation
  "42": "statement.refused",
  // feature not supported, invalid cursor definition, active SQL transaction
  "0A": "statement.refused",
  "25": "statement.refused",
  "2D": "statement.refused",
};

/** Whether the error came from the server as an answer to a statement, so that the connection still lives. */
export function isServerError(error: unknown): error is ServerError {
  return (
    error instanceof Error &&
    "code" in error &&
    typeof error.code === "string" &&
    "severity" in error &&
    typeof error.severity === "string"
  );
}

/**
 * What a standby says to a transaction that wants to write, as it begins. Its own code is the one of every
 * feature that is not supported, which would send an agent to correct its SQL.
 */
export function onStandby(error: ServerError): BehalfError {
  return new BehalfError(
    "backend.unavailable",
    "[postgres] this server is a standby, which only reads, so nothing was changed; send writes to the primary, or try again once this server was promoted",
    { ...factsOf(error), reason: "standby" },
  );
}

/**
 * Whether a named statement was not there, or was there already. Names belong to one client of one backend, so
 * a pooler that lends a client another backend in each transaction mixes them up. An author's own PREPARE or
 * EXECUTE fails with the same codes, and another name.
 */
export function isPreparedMixUp(error: ServerError, name: string | undefined): boolean {
  const isNameless = name === undefined || name === "";
  if (isNameless || !error.message.includes(`"${name}"`)) return false;
  return error.code === "26000" || error.code === "42P05";
}

/** What to do about it, where a pooler stands between. */
export function preparedMixUp(error: ServerError): BehalfError {
  return new BehalfError(
    "configuration",
    "[postgres] a pooler between this adapter and the database loses prepared statements, so nothing was run; give the adapter `preparedStatements: false`, or use a PgBouncer from 1.21 on with max_prepared_statements",
    { ...factsOf(error), reason: "prepared_statements" },
  );
}

/** COPY speaks a protocol of its own, in which rows travel that neither caps nor type parsers would see. */
export function copyRefused(): BehalfError {
  return new BehalfError(
    "statement.refused",
    "[postgres] COPY cannot move rows from or to the caller; read with a SELECT, or a stream, and write with INSERT ... select from unnest(...)",
    { backend: "postgres", reason: "copy" },
  );
}

/** Whether the database no longer takes this ticket, and the human has to be proved by the token again. */
export function isStaleTicket(error: unknown): boolean {
  return isServerError(error) && error.code === "ZB008";
}

/**
 * Translates an error of the driver, the socket or the server. Pure.
 *
 * The server's message is kept, because an agent can act on it; DETAIL and CONTEXT are not, because they
 * can hold values of rows. The cause is a clean copy of the driver's error.
 *
 * @param phase whether the connection was still being made: every refusal there is `backend.unavailable`
 */
export function mapPostgresError(error: unknown, phase: "connect" | "call"): BehalfError {
  if (BehalfError.isInstance(error)) return error;
  const nativeCode = codeOf(error);
  const facts = factsOf(error);
  if (phase === "connect") {
    return new BehalfError(
      "backend.unavailable",
      `[postgres] no connection could be made${nativeCode === undefined ? "" : ` (${nativeCode})`}; ` +
        "check that the server runs and that the pool's host, login and password are right",
      facts,
    );
  }
  if (!isServerError(error) && !isLoss(error)) {
    const name = error instanceof Error ? error.name : typeof error;
    return new BehalfError(
      "backend.failed",
      `[postgres] the call failed in an unexpected way (${name}); trying again will not help`,
      { ...facts, reason: "unexpected" },
    );
  }
  if (!isServerError(error)) {
    return new BehalfError(
      "backend.unavailable",
      `[postgres] the connection was lost during the call${nativeCode === undefined ? "" : ` (${nativeCode})`}; nothing was changed, so it is safe to try again`,
      facts,
    );
  }
  const kit = KIT[error.code];
  if (kit !== undefined) {
    return new BehalfError(kit, withHint(error), {
      ...facts,
      // A word of the kit; anything else is somebody's own DETAIL.
      ...(error.detail !== undefined && /^[a-z_]{1,64}$/.test(error.detail)
        ? { reason: error.detail }
        : {}),
    });
  }
  const code = CODES[error.code] ?? CLASSES[error.code.slice(0, 2)] ?? "backend.failed";
  const again = ROLLED_BACK.has(error.code)
    ? "; nothing was changed, so it is safe to try again"
    : "";
  return new BehalfError(code, `${withHint(error)}${again}`, facts);
}

/** Whether the socket or the driver says that the connection is gone. The driver has no code for it. */
function isLoss(error: unknown): boolean {
  return (
    error instanceof Error &&
    (codeOf(error) !== undefined || /\b(?:connection|client)\b/i.test(error.message)) &&
    !(error instanceof TypeError || error instanceof RangeError)
  );
}

/**
 * What became of a write whose answer could not be read: it was made, and no message may say otherwise.
 */
export function afterCommit(error: unknown): BehalfError {
  const mapped = mapPostgresError(error, "call");
  return withUnknownEffect(
    mapped,
    `${mapped.message}; the change was made all the same: look before you try again`,
  );
}

/** The answer to the COMMIT was lost: nobody knows whether the changes stay. */
export function duringCommit(error: unknown): BehalfError {
  const mapped = mapPostgresError(error, "call");
  const { nativeCode } = mapped;
  return withUnknownEffect(
    mapped,
    mapped.code === "backend.unavailable"
      ? `[postgres] the connection was lost while the answer to the COMMIT was awaited${nativeCode === undefined ? "" : ` (${nativeCode})`}; look whether the change is there before you try again`
      : `${mapped.message}; the change may have been made: look before you try again`,
  );
}

function withUnknownEffect(
  { code, reason, nativeCode, cause }: BehalfError,
  message: string,
): BehalfError {
  return new BehalfError(code, message, {
    effect: "unknown",
    backend: "postgres",
    ...(reason === undefined ? {} : { reason }),
    ...(nativeCode === undefined ? {} : { nativeCode }),
    ...(cause === undefined ? {} : { cause }),
  });
}

function factsOf(error: unknown): Pick<BehalfErrorFacts, "backend" | "nativeCode" | "cause"> {
  const nativeCode = codeOf(error);
  const cause = cleanCause(error, isServerError(error));
  return {
    backend: "postgres",
    ...(nativeCode === undefined ? {} : { nativeCode }),
    ...(cause === undefined ? {} : { cause }),
  };
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : undefined;
}

function withHint(error: ServerError): string {
  const text = error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
  return `[postgres] ${text}`;
}
