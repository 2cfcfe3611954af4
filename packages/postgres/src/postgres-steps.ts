import { randomInt } from "node:crypto";

import type { PgClient } from "./pg-structure.ts";
import type { TextStep } from "./postgres-batch.ts";
import { mayNameSettings } from "./postgres-names.ts";

/** The portal that `behalf.read`, `behalf.open` and `behalf.write` make. It must never be fetched from by the login itself. */
const PORTAL = "behalf_cursor";

/**
 * What the meaning of a statement must not depend on, beside `search_path`. Mostly the session has it anyway:
 * to compare all of it costs 7 us, to set it 18.
 */
const PINNED: readonly (readonly [string, string])[] = [
  ["TimeZone", "UTC"],
  ["DateStyle", "ISO, MDY"],
  ["IntervalStyle", "postgres"],
  ["extra_float_digits", "1"],
  ["bytea_output", "hex"],
  ["xmlbinary", "base64"],
  ["lc_monetary", "C"],
  ["lc_numeric", "C"],
  ["lc_time", "C"],
  ["xmloption", "content"],
  ["transform_null_equals", "off"],
  ["array_nulls", "on"],
  ["standard_conforming_strings", "on"],
  ["client_encoding", "UTF8"],
];

// Types are qualified, too: behind a PgBouncer that shares server connections, another client of the same
// login could plant a domain pg_temp.jsonb, whose check would run inside this human's transaction.

/**
 * READ ONLY is mandatory for reads: `behalf.open` refuses without it, and nothing can lift it afterwards.
 * Both say everything, because a login or a database can have other defaults.
 */
export function begin(access: "read" | "write"): TextStep {
  return access === "read"
    ? { name: "behalf_begin", text: "begin isolation level read committed read only" }
    : { name: "behalf_begin_write", text: "begin isolation level read committed read write" };
}

/** Undoes every SET, temporary object, held cursor and LISTEN of the transaction. */
export const rollback: TextStep = { name: "behalf_rollback", text: "rollback" };

export const commit: TextStep = { name: "behalf_commit", text: "commit", commits: true };

/**
 * What the end of the transaction does not undo. After a ROLLBACK: session-level advisory locks and the
 * seed of random(). After a COMMIT, and after writes that were rolled back, also what a SET without LOCAL,
 * a sequence, a temporary table, a cursor WITH HOLD or a LISTEN leaves behind. Not DISCARD ALL: it takes the connection's
 * prepared statements along.
 */
export function reset(access: "read" | "write", client: PgClient): readonly TextStep[] {
  const seed: TextStep = {
    name: "behalf_reset",
    text: "select pg_catalog.pg_advisory_unlock_all(), pg_catalog.setseed($1::pg_catalog.float8)",
    // setseed takes -1 to 1; a fresh value, so that a human cannot choose the next one's random().
    values: [String(randomInt(-1_000_000_000, 1_000_000_000) / 1e9)],
  };
  return access === "read" ? [seed] : [resetRole, resetAll, reintroduce(client), ...discard, seed];
}

/** RESET ALL leaves the role, which this gives back. */
const resetRole: TextStep = {
  name: "behalf_reset_role",
  text: "set session authorization default",
};

/** Comes early: what follows must not be read under a search_path or a timeout of the human's. */
const resetAll: TextStep = { name: "behalf_reset_all", text: "reset all" };

/**
 * Behind a PgBouncer RESET ALL leads back to what the pooler said when it connected, which is no name and the
 * database's encoding, and the pooler then takes these for this client's own wish: the next gateway would find
 * a stranger among the sessions of its login, and texts would come in another encoding than pg reads.
 */
function reintroduce({ connectionParameters: made }: PgClient): TextStep {
  const name = made?.application_name || made?.fallback_application_name;
  return {
    name: "behalf_reintroduce",
    text:
      "select pg_catalog.set_config('client_encoding', 'UTF8', false)," +
      " pg_catalog.set_config('application_name', coalesce($1, pg_catalog.current_setting('application_name')), false)",
    values: [typeof name === "string" ? name : null],
  };
}

const discard: readonly TextStep[] = [
  // A cursor WITH HOLD outlives the COMMIT, with the rows that the last human could see.
  { name: "behalf_close_all", text: "close all" },
  { name: "behalf_discard_sequences", text: "discard sequences" },
  { name: "behalf_discard_temp", text: "discard temp" },
  { name: "behalf_unlisten", text: "unlisten *" },
];

/** The expressions that make the session the role's, as one text that nobody reads. */
function becoming(role: string, path: string): string {
  const set = (name: string, value: string) => `pg_catalog.set_config('${name}', ${value}, true)`;
  // NULL would give the session back its own role and its own search_path, where pg_temp comes first. '' is no
  // role, and a path on which nothing of the application's is found.
  const said = (value: string) => `coalesce(${value}, '')`;
  const isSet = PINNED.map(([name, value]) => `pg_catalog.current_setting('${name}') = '${value}'`);
  const pins = PINNED.map(([name, value]) => set(name, `'${value}'`));
  return (
    `${set("role", said(role))} || ${set("search_path", said(path))}` +
    ` || case when ${isSet.join(" and ")} then '' else ${pins.join(" || ")} end`
  );
}

/** What a proof is shown for. */
interface Proof {
  readonly proof: string;
  readonly callId: string;
  readonly timeoutMs: number;
  readonly task: string | null;
  readonly issuer: string;
  readonly subject: string;
}

const STARTED =
  "s.ticket, s.expires_at, s.role, s.write_role, s.statement_role, pg_catalog.pg_backend_pid()";
const START = "behalf.start($1, $2, $3, $4, $5::pg_catalog.int4, $6::pg_catalog.jsonb) s";
const START_ALONE = `select ${STARTED} from ${START}`;
/** A ticket that a login got while it was one for statements always names the role. */
const START_STATEMENT = `select ${STARTED}, ${becoming("s.statement_role", "s.path")} from ${START}`;

/**
 * Proves the human to the database; with a token, the new ticket comes back. The database refuses a proof
 * of anybody but `issuer` and `subject`, so that a mix-up of credentials can show nobody's rows.
 */
export function start(call: Proof): TextStep {
  return {
    name: "behalf_start",
    text: START_ALONE,
    values: proofValues(call),
  };
}

/** The same, and becomes the statement role in the same statement: 60 us less than {@link assume} after it. */
export function startStatement(call: Proof): TextStep {
  return { name: "behalf_start_statement", text: START_STATEMENT, values: proofValues(call) };
}

function proofValues(call: Proof): readonly (string | null)[] {
  return [call.proof, call.issuer, call.subject, call.callId, String(call.timeoutMs), call.task];
}

/** When this backend started: with its process id it names a session for good. */
export const backendStart: TextStep = {
  name: "behalf_backend_start",
  text: "select pg_catalog.to_char(backend_start at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid())",
};

/** Runs the hostile text as the agent role, brings its first rows, and asks for its columns. */
export function read(statement: string, rows: number, maxBytes: number): TextStep {
  return {
    name: "behalf_read",
    text: "select * from behalf.read($1, $2::pg_catalog.int4, $3::pg_catalog.int8)",
    values: [statement, String(rows), String(maxBytes)],
    describePortal: PORTAL,
    namesSettings: mayNameSettings(statement),
  };
}

/** Opens the cursor on the hostile text, as the agent role, and asks for its columns. */
export function open(statement: string): TextStep {
  return {
    name: "behalf_open",
    text: "select behalf.open($1)",
    values: [statement],
    describePortal: PORTAL,
    namesSettings: mayNameSettings(statement),
  };
}

/**
 * Fetches inside the database's own function, so that the agent's expressions run as the agent role.
 *
 * @param maxBytes ends the result before the row that would pass it
 * @param pageBytes ends this page after the row that reaches it
 */
export function fetch(rows: number, maxBytes: number, pageBytes: number): TextStep {
  return {
    name: "behalf_fetch",
    text: "select * from behalf.fetch($1::pg_catalog.int4, $2::pg_catalog.int8, $3::pg_catalog.int8)",
    values: [String(rows), String(maxBytes), String(pageBytes)],
  };
}

/** Runs the hostile text to its end, as the write role, and brings the first rows that it returns. */
export function write(statement: string, rows: number, maxBytes: number): TextStep {
  return {
    name: "behalf_write",
    text: "select * from behalf.write($1, $2::pg_catalog.int4, $3::pg_catalog.int8)",
    values: [statement, String(rows), String(maxBytes)],
    describePortal: PORTAL,
    namesSettings: mayNameSettings(statement),
  };
}

/** Forces deferred constraints and triggers as the write role. */
export const settle: TextStep = { name: "behalf_settle", text: "select behalf.settle()" };

/** The same in statement mode, where the role of the transaction is the one that must run them. */
export const settleStatement: TextStep = {
  name: "behalf_settle_statement",
  text: "set constraints all immediate",
};

export const closeCursor: TextStep = { name: "behalf_close", text: `close ${PORTAL}` };

/**
 * Becomes the statement role until the transaction ends, and pins what the meaning of a statement and the
 * rows of a policy must not depend on. The database says which role.
 */
export const assume: TextStep = {
  name: "behalf_assume",
  text: `select ${becoming("s.role", "s.path")} from behalf.statement() s`,
};

/** Asks, without becoming anybody, whether the human may go on: expiry and revocation. */
export const checkStatement: TextStep = {
  name: "behalf_check_statement",
  text: "select from behalf.statement()",
};

/** Bounds the following statements, and how long the session may stand idle between them. */
export function arm(timeoutMs: number): TextStep {
  return {
    name: "behalf_arm",
    text: "select pg_catalog.set_config('statement_timeout', $1, true), pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true)",
    values: [String(timeoutMs)],
  };
}
