import type { AttackCase } from "../attack-case.ts";

const PLANTED = [{ nextSees: /planted/ }] as const;

/** A setting that would change what the next human's statements mean or whether they run. */
const left = (id: string, name: string, value: string): AttackCase => ({
  id: `left-${id}`,
  aim: `leave ${name} on the connection`,
  attacker: [`select set_config('${name}', '${value}', false)`],
});

/** Leave something that the next human on the connection meets. */
export const poolResidue: readonly AttackCase[] = [
  {
    id: "left-name",
    aim: "leave the name of a setting, as a message to who knows it",
    attacker: ["select set_config('app.mark', 'x', true)"],
  },
  {
    id: "left-name-value",
    aim: "leave a setting of one's own with a value",
    attacker: ["select set_config('app.mark', 'from Bob', false)"],
  },
  {
    id: "left-name-in-xml",
    aim: "the same from a text that query_to_xml runs and that names nothing",
    attacker: [
      "select query_to_xml('select set' || $q$_config('app.mark', 'x', false)$q$, true, true, '')",
    ],
  },
  {
    id: "left-name-spelled",
    aim: "the same under another spelling",
    attacker: [`select U&"set\\005Fconfig"('app.mark', 'x', false)`],
  },
  {
    id: "left-name-in-ts-stat",
    aim: "the same from a text that ts_stat runs",
    attacker: [
      "select * from ts_stat('select to_tsvector(''simple'', set' || $q$_config('app.mark', 'x', false))$q$)",
    ],
  },
  {
    id: "left-name-set",
    aim: "the same by SET",
    attacker: ["set app.mark = 'x'"],
  },
  {
    id: "left-name-in-function",
    aim: "the same by a function with a setting",
    attacker: [
      [
        "create function pg_temp.f() returns int language sql set app.mark = 'x' as 'select 1'",
        "select pg_temp.f()",
      ],
    ],
  },
  {
    id: "left-name-after-error",
    aim: "the same from a statement that fails afterwards",
    attacker: [
      "select set_config('app.mark', 'x', true), 1 / (length(set_config('app.mark', 'y', true)) - 1)",
    ],
  },
  left("search-path", "search_path", "pg_temp"),
  left("time-zone", "TimeZone", "Asia/Tokyo"),
  left("date-style", "DateStyle", "German"),
  left("interval-style", "IntervalStyle", "sql_standard"),
  left("work-mem", "work_mem", "64kB"),
  left("float-digits", "extra_float_digits", "-15"),
  left("bytea-output", "bytea_output", "escape"),
  left("strings", "standard_conforming_strings", "off"),
  left("encoding", "client_encoding", "LATIN1"),
  left("null-equals", "transform_null_equals", "on"),
  left("row-security", "row_security", "off"),
  left("read-only", "default_transaction_read_only", "on"),
  left("isolation", "default_transaction_isolation", "serializable"),
  left("lock-timeout", "lock_timeout", "1"),
  left("plans", "enable_indexscan", "off"),
  left("text-search", "default_text_search_config", "simple"),
  left("fuzzy-search", "gin_fuzzy_search_limit", "1"),
  left("xml", "xmloption", "document"),
  left("join-limit", "join_collapse_limit", "1"),
  left("messages", "client_min_messages", "error"),
  left("durability", "synchronous_commit", "local"),
  {
    id: "left-timeout",
    aim: "leave a timeout that ends every statement of the next human",
    attacker: ["select set_config('statement_timeout', '1', false)"],
    next: ["select 'answered', pg_sleep(0.02)"],
    breaks: [{ nextSees: /timeout/ }],
  },
  {
    id: "left-role",
    aim: "leave another role on the connection",
    attacker: [["set role {{login}}", "select 1"]],
    next: ["select 1"],
    breaks: [{ attackerSees: /never/ }],
    neverBroke: "The recipe sets the role anew for each call.",
  },
  {
    id: "left-set",
    aim: "leave a setting by SET",
    attacker: ["set search_path to pg_temp"],
  },
  {
    id: "left-characteristics",
    aim: "leave READ ONLY for the next human's writes",
    attacker: ["set session characteristics as transaction read only"],
  },
  {
    id: "left-setting-in-xml",
    aim: "leave a setting from a text that query_to_xml runs",
    attacker: [
      "select query_to_xml($q$select set_config('TimeZone', 'Asia/Tokyo', false)$q$, true, true, '')",
    ],
  },
  {
    id: "left-lock",
    aim: "leave an advisory lock",
    attacker: ["select pg_advisory_lock(4711)"],
    breaks: [
      {
        serverSays:
          "select exists (select from pg_locks where locktype = 'advisory' and objid = 4711 and database = (select oid from pg_database where datname = current_database())) as broken",
      },
    ],
  },
  {
    id: "left-shared-lock",
    aim: "leave a shared advisory lock",
    attacker: ["select pg_try_advisory_lock_shared(4712)"],
    breaks: [
      {
        serverSays:
          "select exists (select from pg_locks where locktype = 'advisory' and objid = 4712 and database = (select oid from pg_database where datname = current_database())) as broken",
      },
    ],
  },
  {
    id: "left-lock-after-error",
    aim: "leave an advisory lock from a statement that fails",
    attacker: ["select pg_advisory_lock(4713), 1 / (length(pg_sleep(0)::text))"],
    breaks: [
      {
        serverSays:
          "select exists (select from pg_locks where locktype = 'advisory' and objid = 4713 and database = (select oid from pg_database where datname = current_database())) as broken",
      },
    ],
  },
  {
    id: "left-seed",
    aim: "choose what random() says to the next human",
    attacker: ["select setseed(0.42)"],
    next: ["select random()"],
    breaks: [{ nextRepeats: true }],
  },
  {
    id: "left-seed-in-xml",
    aim: "the same from a text that query_to_xml runs",
    attacker: ["select query_to_xml('select setseed(0.43)', true, true, '')"],
    next: ["select random()"],
    breaks: [{ nextRepeats: true }],
  },
  {
    id: "left-seed-after-error",
    aim: "the same from a statement that fails",
    attacker: ["select setseed(0.44), 1 / length(setseed(0.44)::text)"],
    next: ["select random()"],
    breaks: [{ nextRepeats: true }],
  },
  {
    id: "temp-table",
    aim: "let the next human read a temporary table in the place of the real one",
    attacker: ["create temp table payroll as select 'planted'::text as note"],
    next: ["select note from payroll"],
    breaks: PLANTED,
  },
  {
    id: "temp-table-select-into",
    aim: "the same by SELECT INTO",
    attacker: ["select 'planted'::text as note into temp payroll"],
    next: ["select note from payroll"],
    breaks: PLANTED,
  },
  {
    id: "temp-view",
    aim: "the same with a view",
    attacker: ["create temp view payroll as select 'planted'::text as note"],
    next: ["select note from payroll"],
    breaks: PLANTED,
  },
  {
    id: "temp-catalog",
    aim: "let the next human's statements find a type of the attacker's",
    attacker: ["create domain pg_temp.text as int"],
    next: ["select pg_typeof('1'::text)"],
  },
  {
    id: "temp-catalog-first",
    aim: "the same with the temporary schema in front of the catalogue",
    attacker: [
      [
        "create function pg_temp.now() returns text language sql as $f$select 'planted'::text$f$",
        "set search_path = pg_temp, pg_catalog, public",
      ],
    ],
    next: ["select note from payroll limit 0"],
  },
  {
    id: "temp-function",
    aim: "leave a function",
    attacker: ["create function pg_temp.planted() returns int language sql as 'select 1'"],
  },
  {
    id: "temp-sequence",
    aim: "leave a sequence in the place of the real one",
    attacker: ["create temp sequence tickets start 666"],
    next: ["select last_value from tickets"],
    breaks: [{ nextSees: /666/ }],
  },
  {
    id: "prepared",
    aim: "leave a prepared statement",
    attacker: ["prepare planted as select 'planted'"],
  },
  {
    id: "prepared-in-place",
    aim: "prepare something else under a name that the gateway uses",
    attacker: [
      "prepare behalf_read as select 'planted'",
      ["deallocate all", "prepare behalf_commit as select 'planted'"],
    ],
    next: ["select 1"],
  },
  {
    id: "cursor",
    aim: "leave a cursor with rows",
    attacker: ["declare planted cursor with hold for select * from payroll"],
  },
  {
    id: "cursor-in-place",
    aim: "leave a cursor under the name that the gateway describes",
    attacker: ["declare behalf_cursor cursor with hold for select 'planted'"],
    next: ["select 1"],
  },
  {
    id: "listen",
    aim: "leave a subscription: the next human's connection gets messages",
    attacker: ["listen app_events"],
  },
  {
    id: "current-value",
    aim: "leave the last number of a sequence",
    attacker: ["select nextval('tickets')"],
    next: ["select currval('tickets')"],
    breaks: [{ nextSees: /^\[+\W*\d+/ }],
  },
  {
    id: "last-value",
    aim: "leave the last number of any sequence",
    attacker: ["select nextval('tickets')"],
    next: ["select lastval()"],
    breaks: [{ nextSees: /^\[+\W*\d+/ }],
  },
  {
    id: "discard",
    aim: "throw away what the gateway keeps on the connection",
    attacker: ["discard plans", ["deallocate all", "discard temp"]],
    next: ["select 1"],
    neverBroke: "Nothing that the next user could see is lost.",
  },
  {
    id: "open-transaction",
    aim: "leave a transaction open for the next human",
    attacker: ["commit; begin; create temp table planted (a int)"],
    breaks: [],
  },
];
