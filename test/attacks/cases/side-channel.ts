import type { AttackCase } from "../attack-case.ts";

const oracle = (id: string, aim: string, ...attacker: AttackCase["attacker"]): AttackCase => ({
  id,
  aim,
  attacker,
  breaks: [{ outcomesDiffer: true }],
});
const row = (email: string) =>
  `insert into payroll (org_id, email, salary) values ('globex', '${email}', 1)`;

/** Learn of hidden rows, or tell somebody something, by other ways than rows. */
export const sideChannel: readonly AttackCase[] = [
  oracle(
    "unique",
    "ask a unique index whether a hidden row has this value",
    row("alice@acme.example"),
    row("nobody-1@acme.example"),
  ),
  oracle(
    "on-conflict",
    "the same without an error",
    `${row("ann@acme.example")} on conflict (email) do nothing returning 1`,
    `${row("nobody-2@acme.example")} on conflict (email) do nothing returning 1`,
  ),
  oracle(
    "foreign-key",
    "ask a foreign key whether a hidden row is there",
    "insert into shifts values (501, 1, 'globex')",
    "insert into shifts values (502, 999999, 'globex')",
  ),
  {
    id: "row-estimate",
    aim: "read how many rows the whole table has",
    setup: "analyze payroll",
    attacker: ["select 'rows:' || reltuples from pg_class where oid = 'payroll'::regclass"],
    breaks: [{ attackerSees: /rows:4/ }],
  },
  {
    id: "row-count",
    aim: "read the exact number of rows from the statistics",
    attacker: [
      "select 'rows:' || n_live_tup from pg_stat_all_tables where relid = 'payroll'::regclass",
    ],
    breaks: [{ attackerSees: /rows:\d/ }],
  },
  {
    id: "table-size",
    aim: "measure the table",
    attacker: ["select 'size:' || pg_relation_size('payroll')"],
    breaks: [{ attackerSees: /size:[1-9]/ }],
  },
  {
    id: "database-size",
    aim: "measure the database",
    attacker: ["select 'size:' || pg_database_size(current_database())"],
    breaks: [{ attackerSees: /size:[1-9]/ }],
  },
  {
    id: "rows-removed",
    aim: "let EXPLAIN ANALYZE count the rows that a policy hides",
    attacker: [
      "explain (analyze, timing off) select * from payroll",
      "explain (analyze, timing off) update payroll set salary = salary",
    ],
    breaks: [{ attackerSees: /Rows Removed by Filter: \d/ }],
  },
  oracle(
    "estimate",
    "let EXPLAIN estimate from hidden values",
    "explain select from payroll where salary = 7131",
    "explain select from payroll where salary = 7131 and note is null and email = 'x' or salary < 0",
  ),
  {
    id: "plan-messages",
    aim: "let the server print its plans as messages",
    attacker: [
      [
        "select set_config('client_min_messages', 'log', true), set_config('debug_print_plan', 'on', true), set_config('log_statement_stats', 'on', true)",
        "select * from payroll",
      ],
    ],
    breaks: [{ attackerSees: /PLANNEDSTMT/ }],
    neverBroke: "Neither the driver's rows nor its errors hold messages.",
  },
  {
    id: "unique-detail",
    aim: "read a hidden value from the detail of an error",
    attacker: [
      "update payroll set email = lower('ALICE@acme.example') where org_id = 'globex' and id = 3",
    ],
    breaks: [{ attackerSees: /alice@acme\.example/ }],
    neverBroke: "PostgreSQL leaves the values out where row level security is on.",
  },
  {
    id: "notify",
    aim: "tell whoever listens to the application's channel something",
    attacker: ["select pg_notify('app_events', 'paid')"],
    breaks: [{ isHeard: true }],
  },
  {
    id: "notify-in-xml",
    aim: "the same from a text that query_to_xml runs",
    attacker: ["select query_to_xml('select pg_notify(''app_events'', ''paid'')', true, true, '')"],
    breaks: [{ isHeard: true }],
  },
  {
    id: "large-object",
    aim: "leave something that every human's agents can read",
    attacker: ["select lo_from_bytea(0, 'from Bob')"],
  },
  {
    id: "lock-signal",
    aim: "tell a human's agent something by a lock, while both run",
    attacker: ["select pg_advisory_xact_lock(4720), pg_sleep(0.15)"],
    breaks: [
      {
        bystander:
          "select exists (select from pg_locks where locktype = 'advisory' and objid = 4720 and database = (select oid from pg_database where datname = current_database())) as broken",
      },
    ],
  },
  {
    id: "wal-message",
    aim: "write into the stream that replicas and consumers of changes read",
    attacker: ["select pg_logical_emit_message(false, 'app', 'paid')"],
    breaks: [{ succeeds: 0 }],
  },
  {
    id: "snapshot-export",
    aim: "hand one's snapshot to another session",
    attacker: ["select pg_export_snapshot()"],
    breaks: [{ succeeds: 0 }],
  },
  {
    id: "cast-error",
    aim: "let a cast in a condition fail on a hidden value and quote it",
    attacker: [
      "select * from payroll where note::int = 1",
      "select * from payroll where (note || 'x')::numeric > 1",
      "update payroll set salary = salary where note::date > now()",
    ],
    neverBroke: "Row level security runs before conditions that are not leakproof.",
  },
  {
    ...oracle(
      "division",
      "let a division fail on one hidden value",
      "select count(*) from payroll where 1 / (salary - 7131) < 2",
      "select count(*) from payroll where 1 / (salary - 7132) < 2",
    ),
    neverBroke: "Row level security runs before conditions that are not leakproof.",
  },
  {
    id: "leaky-function",
    aim: "see hidden rows in a cheap function of one's own",
    attacker: [
      [
        "create function pg_temp.leak(text) returns boolean language plpgsql cost 0.0000001 as 'begin raise exception ''%'', $1; end'",
        "select * from payroll where pg_temp.leak(note)",
      ],
    ],
    neverBroke: "Only a superuser may call a function leakproof; breaks only as DDL.",
  },
  {
    ...oracle(
      "check-constraint",
      "let a check fail on a hidden row",
      "update payroll set salary = salary - 7131",
      "update payroll set salary = salary - 7130",
    ),
    neverBroke: "An UPDATE meets one's own rows only.",
  },
  {
    ...oracle(
      "row-lock",
      "let a row lock wait for a hidden row",
      "select id from payroll where id = 1 for update nowait",
      "select id from payroll where id = 999 for update nowait",
    ),
    neverBroke: "A row that a policy hides is not locked.",
  },
];
