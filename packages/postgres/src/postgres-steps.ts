import { randomInt } from "node:crypto";

import type { Step } from "./postgres-batch.ts";

/** The portal that `behalf.open` makes. It must never be fetched from by the login itself. */
const PORTAL = "behalf_cursor";

// Types are qualified, too: behind a PgBouncer that shares server connections, another client of the same
// login could plant a domain pg_temp.jsonb, whose check would run inside this human's transaction.

/** READ ONLY is mandatory: `behalf.open` refuses without it, and nothing can lift it afterwards. */
export const begin: Step = { name: "behalf_begin", text: "begin read only" };

/** Undoes every SET, temporary object, held cursor and LISTEN of the transaction. */
export const rollback: Step = { name: "behalf_rollback", text: "rollback" };

/** What ROLLBACK does not undo: session-level advisory locks and the seed of random(). */
export function reset(): Step {
  return {
    name: "behalf_reset",
    text: "select pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed($1::pg_catalog.float8)",
    // setseed takes -1 to 1; a fresh value, so that a human cannot choose the next one's random().
    values: [String(randomInt(-1_000_000_000, 1_000_000_000) / 1e9)],
  };
}

/**
 * Proves the human to the database; with a token, the new ticket comes back. The database refuses a proof
 * of anybody but `issuer` and `subject`, so that a mix-up of credentials can show nobody's rows.
 */
export function start(call: {
  readonly proof: string;
  readonly callId: string;
  readonly timeoutMs: number;
  readonly task: string | null;
  readonly issuer: string;
  readonly subject: string;
}): Step {
  return {
    name: "behalf_start",
    text: "select ticket, expires_at, role, pg_catalog.pg_backend_pid() from behalf.start($1, $2, $3, $4, $5::pg_catalog.int4, $6::pg_catalog.jsonb)",
    values: [call.proof, call.issuer, call.subject, call.callId, String(call.timeoutMs), call.task],
  };
}

/** When this backend started: with its process id it names a session for good. */
export const backendStart: Step = {
  name: "behalf_backend_start",
  text: "select pg_catalog.to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())",
};

/** Opens the cursor on the hostile text, as the agent role, and asks for its columns. */
export function open(statement: string): Step {
  return {
    name: "behalf_open",
    text: "select behalf.open($1)",
    values: [statement],
    describePortal: PORTAL,
  };
}

/** Fetches inside the database's own function, so that the agent's expressions run as the agent role. */
export function fetch(rows: number, maxBytes: number): Step {
  return {
    name: "behalf_fetch",
    text: "select * from behalf.fetch($1::pg_catalog.int4, $2::pg_catalog.int8)",
    values: [String(rows), String(maxBytes)],
  };
}

export const closeCursor: Step = { name: "behalf_close", text: `close ${PORTAL}` };

/** Bounds the following statements, and how long the session may stand idle between them. */
export function arm(timeoutMs: number): Step {
  return {
    name: "behalf_arm",
    text: "select pg_catalog.set_config('statement_timeout', $1, true), pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true)",
    values: [String(timeoutMs)],
  };
}
