import type { Way } from "./outcome.ts";

/** What the server says: `ok`, or an SQLSTATE. */
interface Refusal {
  readonly text: string;
  readonly access: "read" | "write";
  readonly way: Way;
  readonly direct: string;
  readonly behalf: string;
}

const agents = (
  access: "read" | "write",
  text: string,
  direct: string,
  behalf: string,
): Refusal => ({ text, access, way: access === "read" ? "query" : "run", direct, behalf });

/**
 * Where an agent's text is refused although, or otherwise than, a login would be: its place in the server's own
 * grammar is the sandbox. The generator makes none of these; everything else must be the same. So does what a
 * text asks of the session itself: current_user, session_user, pg_backend_pid(), application_name. `t` has an
 * integer `n`.
 */
export const BY_DESIGN: readonly Refusal[] = [
  agents("read", "explain select 1", "ok", "0A000"),
  agents("read", "show TimeZone", "ok", "0A000"),
  agents("read", "set local TimeZone = 'Asia/Tokyo'", "ok", "42P11"),
  agents("read", "set role none", "ok", "42P11"),
  agents("read", "select 1; select 2", "ok", "42P11"),
  agents("read", "copy t to stdout", "ok", "42P11"),
  agents("read", "do $$begin end$$", "ok", "42P11"),
  agents("read", "listen channel", "ok", "42P11"),
  agents("read", "begin", "ok", "42P11"),
  agents("read", "declare c cursor for select 1", "ok", "42P11"),
  agents("read", "prepare p as select 1", "ok", "42P11"),
  agents("read", "lock table t in access share mode", "ok", "42P11"),
  agents("read", "select n from t for update", "25006", "0A000"),
  agents("read", "insert into t values (1)", "25006", "42P11"),
  agents("read", "create temp table x (n int)", "25006", "42P11"),
  agents(
    "read",
    "with w as (insert into t values (1) returning n) select * from w",
    "25006",
    "0A000",
  ),
  agents("read", "select set_config('role', 'none', true)", "ok", "42501"),
  agents("read", "", "ok", "statement.refused"),
  agents("write", "explain select 1", "ok", "42601"),
  agents("write", "set local TimeZone = 'Asia/Tokyo'", "ok", "42601"),
  agents("write", "truncate t", "42501", "42601"),
  agents("write", "create temp table x (n int)", "ok", "42601"),
  agents("write", "insert into t values (1); insert into t values (2)", "ok", "42601"),
  agents("write", "insert into t values (1); -- and then a comment", "ok", "42601"),
  agents(
    "write",
    "with w as (insert into t values (1) returning n) select * from w",
    "ok",
    "0A000",
  ),
  { way: "statement", access: "read", text: "select 1; select 2", direct: "ok", behalf: "42601" },
  { way: "statement", access: "read", text: "select $1", direct: "42P02", behalf: "08P01" },
];
