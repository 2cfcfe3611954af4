import type { BehalfError, BehalfErrorCode } from "@behalf/core";

interface Advice {
  readonly retry: boolean;
  readonly advice: string;
}

const no = (advice: string): Advice => ({ retry: false, advice });
const later = (advice: string): Advice => ({ retry: true, advice });

const ONE_SELECT =
  "Send one statement at a time, and let it be a single SELECT (WITH is fine): no second statement after a semicolon, no SET, BEGIN, COMMIT, EXPLAIN or DDL.";
const ONE_WRITE =
  "Send one INSERT, UPDATE, DELETE or MERGE: no second statement after a semicolon, no SET, BEGIN, COMMIT, EXPLAIN or DDL; WITH in front of it may only read.";
const LOOK_UP = "Call describe_tables to see the tables and columns that this human may use.";
const SMALLER =
  "Ask a smaller question: filter by an indexed column, aggregate, or add LIMIT. The same statement will take as long again.";

const ONLY_READS = no(
  "This human's agents may only read. Do not try another way round; tell the human.",
);

/** By the refinement of a code. */
const REASONS: Readonly<Record<string, Advice>> = {
  gateway_reads: ONLY_READS,
  no_write_role: ONLY_READS,
  no_statement_role: no("This tool is not for this human. Tell the human."),
  standby: later(
    "The database only reads at the moment. Nothing was changed; try again in a minute.",
  ),
  waiting: later("This human's other calls are still running. Wait until they have ended."),
};

/** By SQLSTATE, the most telling first. */
const STATES: Readonly<Record<string, Advice>> = {
  "42P11": no(ONE_SELECT),
  "0A000": no(ONE_SELECT),
  "25006": no("This tool only reads. Nothing was changed."),
  "42501": no(
    "The database does not let this human do that. Do not try another way round; use what describe_tables shows, or ask the human to request access.",
  ),
  "42P01": no(`There is no such table, or this human may not see it. ${LOOK_UP}`),
  "42703": no(`There is no such column. ${LOOK_UP}`),
  "42883": no("There is no such function for these types. Check its name, or cast the arguments."),
  "42601": no("Correct the SQL and try again."),
  "42P02": no("Values cannot be passed apart from the text: write them as literals."),
  "57014": no(SMALLER),
  "22012": no("The statement divided by zero: use nullif(divisor, 0)."),
  "22P02": no("A value does not have the type that the column needs: correct the literal."),
  "23505": no(
    "A row with this key exists already, perhaps one that this human may not see. Choose another key, or change the existing row.",
  ),
  "23503": no("The row refers to one that does not exist, or is referred to by others."),
  "23502": no("A column that must have a value got none: give it one."),
  "23514": no("A value is outside what the table allows: see describe_tables, and correct it."),
  "44000": no("The new row would lie outside what this human may see. Correct its values."),
  "40001": later("Another transaction came first. Try the same call again."),
  "40P01": later("Two transactions waited for each other. Try the same call again."),
  "55P03": later("Somebody else holds the row. Try the same call again in a moment."),
  "53200": no(`The statement needed more memory than it may have. ${SMALLER}`),
  "53400": no(`The statement needed more disk than it may have. ${SMALLER}`),
};

const CLASSES: Readonly<Record<string, Advice>> = {
  "22": no("A value in the statement does not fit: correct it."),
  "23": no("The database's constraints do not allow these values: correct them."),
  "42": no("Correct the SQL and try again."),
};

const CODES: { readonly [code in BehalfErrorCode]: Advice } = {
  "identity.missing": no("The call came without proof of the human. Sign in again."),
  "identity.rejected": no("The proof of the human was not accepted. Sign in again."),
  "identity.expired": no("The human's sign-in has expired. Refresh the token, then call again."),
  "identity.not_yet_valid": later("The token is not valid yet: wait a moment."),
  "identity.unavailable": later("The identity provider cannot be reached. Try again in a minute."),
  "identity.exchange_refused": no(
    "The identity provider does not let this human's agent use the database. Ask the human to have access granted.",
  ),
  "identity.revoked": no("This human's access was withdrawn. Stop, and tell the human."),
  "task.required": no("The database asks for a task that the human agreed to. Ask the human."),
  "task.scope_exceeded": no("This goes beyond what the human agreed to. Ask the human."),
  "task.budget_exhausted": no("What the human agreed to is used up. Ask the human."),
  "consent.required": no("The human has not agreed yet. Ask the human."),
  "statement.refused": no(ONE_SELECT),
  "backend.denied": no("The database says no. Do not try another way round."),
  "backend.identity_mismatch": no("Tell whoever runs the gateway, with the call_id."),
  "backend.unavailable": later("The database cannot be reached. Try again in a minute."),
  "backend.failed": no("The statement failed while it ran: see the message, and correct it."),
  "limit.exceeded": later(
    "Too many calls of this human are under way. Wait until they have ended, and send fewer at once.",
  ),
  cancelled: no("The call was cancelled."),
  timeout: no(SMALLER),
  "records.unavailable": later("Calls cannot be recorded, so none is served. Try again later."),
  configuration: no("Tell whoever runs the gateway, with the call_id."),
  closed: later("The gateway is being restarted. Try again in a minute."),
};

/**
 * What an agent can do about a failure, and whether the very same call may succeed later.
 *
 * @param access of the tool: what one may send differs
 */
export function adviceFor(error: BehalfError, access: "read" | "write"): Advice {
  if (error.effect === "unknown") {
    return no("The change may have happened. Look before you repeat it.");
  }
  const state = error.nativeCode ?? "";
  const advice =
    REASONS[error.reason ?? ""] ??
    STATES[state] ??
    CLASSES[state.length === 5 ? state.slice(0, 2) : ""] ??
    CODES[error.code];
  // A write's text stands inside another one, where a second statement is a mistake of syntax.
  const isText = advice.advice === ONE_SELECT || state === "42601";
  return access === "write" && isText ? no(`Correct the SQL. ${ONE_WRITE}`) : advice;
}
