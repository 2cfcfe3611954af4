import type { AttackCase } from "../attack-case.ts";

const TOO_LONG = [{ lastsMs: 800 }] as const;
const done = (id: string, aim: string, ...attacker: AttackCase["attacker"]): AttackCase => ({
  id,
  aim,
  attacker,
  breaks: [{ succeeds: 0 }],
});

/** Take more of the server than a call may. Small amounts: what counts is whether anything refuses. */
export const denialOfService: readonly AttackCase[] = [
  {
    id: "timeout-off",
    aim: "switch the deadline off for the next statement",
    attacker: [["select set_config('statement_timeout', '0', true)", "select pg_sleep(0.9)"]],
    breaks: TOO_LONG,
  },
  {
    id: "timeout-off-message",
    aim: "the same in one message",
    attacker: ["select set_config('statement_timeout', '0', true); select pg_sleep(0.9)"],
    breaks: TOO_LONG,
  },
  {
    id: "timeout-off-set",
    aim: "the same by SET",
    attacker: [["set local statement_timeout = 0", "select pg_sleep(0.9)"]],
    breaks: TOO_LONG,
  },
  {
    id: "short-sleeps",
    aim: "hold the connection by many statements that are each short enough",
    attacker: [["select pg_sleep(0.32)", "select pg_sleep(0.32)", "select pg_sleep(0.32)"]],
    breaks: TOO_LONG,
  },
  {
    id: "lock-table",
    aim: "lock a table that others use",
    attacker: ["lock table limits in access exclusive mode; select pg_sleep(0.3)"],
    breaks: [{ bystander: "select false as broken from limits limit 1" }],
  },
  {
    id: "lock-table-run",
    aim: "the same in two texts",
    attacker: [["lock table limits in share mode", "select pg_sleep(0.3)"]],
    breaks: [
      {
        bystander:
          "update limits set amount = amount where org_id = 'acme' returning false as broken",
      },
    ],
  },
  {
    id: "application-lock",
    aim: "hold an advisory lock that the application works with",
    attacker: ["select pg_advisory_lock(4730), pg_sleep(0.2)"],
    breaks: [{ bystander: "select not pg_try_advisory_xact_lock(4730) as broken" }],
  },
  {
    id: "application-lock-xact",
    aim: "the same for the transaction",
    attacker: ["select pg_advisory_xact_lock(47, 31), pg_sleep(0.2)"],
    breaks: [{ bystander: "select not pg_try_advisory_xact_lock(47, 31) as broken" }],
  },
  done(
    "lock-flood",
    "fill the lock table",
    "select count(pg_try_advisory_lock_shared(g)) from generate_series(1, 1000) g",
  ),
  done(
    "temporary-files",
    "fill the disk with temporary files",
    "select count(*) from (select g from generate_series(1, 70000) g order by md5(g::text) offset 0) x",
  ),
  done(
    "work-mem",
    "let every sort and hash take more memory",
    "select set_config('work_mem', '1GB', true)",
  ),
  done(
    "parallel",
    "take all parallel workers",
    "select set_config('max_parallel_workers_per_gather', '64', true)",
  ),
  done("transaction-ids", "use up transaction ids", "select pg_current_xact_id()"),
  done("transaction-ids-old", "the same by the old name", "select txid_current()"),
  done(
    "subtransactions",
    "use up transaction ids by subtransactions",
    "do $d$ begin for i in 1 .. 100 loop begin perform pg_current_xact_id(); exception when others then null; end; end loop; end $d$",
  ),
  {
    id: "large-objects",
    aim: "fill the database with large objects",
    attacker: ["select count(lo_create(0)) from generate_series(1, 50)"],
  },
  {
    id: "notifications",
    aim: "fill the queue of notifications",
    attacker: ["select count(pg_notify('app_events', g::text)) from generate_series(1, 500) g"],
    breaks: [{ isHeard: true }],
  },
  done(
    "wal",
    "fill the write-ahead log",
    "select pg_logical_emit_message(false, 'x', repeat('y', 200000))",
  ),
  done("memory", "take memory in one value", "select length(repeat('x', 8000000))"),
  {
    id: "huge-result",
    aim: "fill the gateway's memory with rows",
    attacker: ["select repeat('x', 1000) from generate_series(1, 8000)"],
    breaks: [{ showsMoreThan: 4_000_000 }],
  },
  done(
    "temporary-tables",
    "fill the catalogue and the disk with temporary tables",
    "create temp table scratch as select g from generate_series(1, 1000) g",
  ),
  done(
    "event-blocker",
    "block others' cleaning up",
    "declare c cursor with hold for select * from generate_series(1, 1000)",
  ),
  {
    id: "deadline",
    aim: "sleep beyond the deadline",
    attacker: ["select pg_sleep(0.9)"],
    breaks: TOO_LONG,
    neverBroke: "statement_timeout is enough for this one.",
  },
  {
    id: "series",
    aim: "count to a number that takes minutes",
    attacker: ["select count(*) from generate_series(1, 1000000000)"],
    breaks: TOO_LONG,
    neverBroke: "statement_timeout is enough for this one.",
  },
  {
    id: "recursion",
    aim: "recurse without end",
    attacker: [
      "with recursive r as (select 1 as n union all select n + 1 from r) select count(*) from r",
    ],
    breaks: TOO_LONG,
    neverBroke: "statement_timeout is enough for this one.",
  },
  {
    id: "nesting",
    aim: "overflow the parser's stack",
    attacker: [`select ${"(".repeat(20_000)}1${")".repeat(20_000)}`],
    breaks: [
      { serverSays: "select pg_postmaster_start_time() > now() - interval '1 second' as broken" },
    ],
    neverBroke: "max_stack_depth is enough for this one.",
  },
  {
    id: "huge-value",
    aim: "make a value that no memory holds",
    attacker: ["select repeat('x', 1000000000) || repeat('x', 1000000000)"],
    breaks: [{ succeeds: 0 }],
    neverBroke: "A value ends at 1 GB.",
  },
];
