import type { AttackCase } from "../attack-case.ts";

const seen = (id: string, aim: string, text: string, attackerSees: RegExp): AttackCase => ({
  id,
  aim,
  attacker: [text],
  breaks: [{ attackerSees }],
});
const told = (id: string, aim: string, ...attacker: readonly string[]): AttackCase => ({
  id,
  aim,
  attacker,
  breaks: attacker.map((_text, position) => ({ succeeds: position })),
});

/** Learn what others do, and how the database is made. */
export const monitoring: readonly AttackCase[] = [
  {
    id: "others-statements",
    aim: "read what others run, as the login that all share",
    victim: "select 'alices-own-words', pg_sleep(0.25)",
    attacker: [
      "select set_config('role', 'none', true), (select string_agg(query, '|') from pg_stat_activity where pid <> pg_backend_pid())",
    ],
    breaks: [{ attackerSees: /alices-own-words/ }],
  },
  {
    id: "others-statements-by-function",
    aim: "the same by the functions beneath",
    victim: "select 'alices-own-words', pg_sleep(0.25)",
    attacker: [
      "select set_config('role', 'none', true), (select string_agg(pg_stat_get_backend_activity(i), '|') from pg_stat_get_backend_idset() i)",
    ],
    breaks: [{ attackerSees: /alices-own-words/ }],
  },
  {
    id: "others-sessions",
    aim: "see who is here, since when, and what they call themselves",
    attacker: [
      "select 'user:' || usename, application_name from pg_stat_activity where pid <> pg_backend_pid() and datname = current_database()",
    ],
    breaks: [{ attackerSees: /user:postgres/ }],
  },
  {
    id: "others-calls",
    aim: "see the ids of running calls",
    victim: "select 4, pg_sleep(0.25)",
    attacker: [
      "select 'call:' || application_name from pg_stat_activity where pid <> pg_backend_pid() and usename = session_user",
    ],
    breaks: [{ attackerSees: /call:/ }],
  },
  told(
    "others-locks",
    "see what others lock and wait for",
    "select count(*) from pg_locks where pid <> pg_backend_pid()",
  ),
  told("others-progress", "see what the server maintains", "select * from pg_stat_progress_vacuum"),
  told("others-replication", "see the replicas", "select * from pg_stat_replication"),
  told(
    "table-activity",
    "count what others read and write",
    "select n_tup_ins, n_tup_upd, seq_scan from pg_stat_user_tables where relname = 'payroll'",
  ),
  told(
    "database-activity",
    "count what others commit",
    "select xact_commit, temp_bytes from pg_stat_database where datname = current_database()",
  ),
  told("prepared-transactions", "see transactions that wait", "select * from pg_prepared_xacts"),
  told(
    "wal-position",
    "measure how much others write",
    "select pg_current_wal_lsn()",
    "select pg_current_wal_insert_lsn()",
  ),
  told(
    "settings",
    "read the server's configuration",
    "select name, setting from pg_settings where name ~ '^(log_|archive_|ssl_)'",
  ),
  told("replication-slots", "see the slots", "select * from pg_replication_slots"),
  told(
    "notification-queue",
    "measure others' notifications",
    "select pg_notification_queue_usage()",
  ),
  told(
    "io-activity",
    "see what others read from disk",
    "select heap_blks_read from pg_statio_user_tables where relname = 'payroll'",
  ),
  seen("roles", "list the roles", "select 'role:' || rolname from pg_roles", /role:postgres/),
  seen(
    "function-source",
    "read the source of the application's functions",
    "select prosrc from pg_proc where proname = 'tax'",
    /author's own note/,
  ),
  seen(
    "policies",
    "read the text of the policies",
    "select 'policy:' || pg_get_expr(polqual, polrelid) from pg_policy",
    /policy:[^"]*org_id/,
  ),
  {
    id: "passwords",
    aim: "read the passwords and the rules of who may connect",
    attacker: [
      "select * from pg_authid",
      "select * from pg_shadow",
      "select * from pg_hba_file_rules",
      "select * from pg_file_settings",
      "select * from pg_user_mapping",
      "select * from pg_subscription",
      "select current_setting('data_directory')",
      "select * from pg_statistic",
    ],
    breaks: [0, 1, 2, 3, 4, 5, 6, 7].map((position) => ({ succeeds: position })),
    neverBroke: "Only a superuser, or a member of the role for it, may.",
  },
  {
    id: "statistics-values",
    aim: "read values from the planner's statistics",
    attacker: [
      "select most_common_vals, histogram_bounds from pg_stats where tablename = 'payroll'",
    ],
    breaks: [{ attackerSees: /acme/ }],
    neverBroke: "pg_stats shows nothing of a table with row level security.",
  },
];
