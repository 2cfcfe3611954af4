import type { AttackCase } from "../attack-case.ts";

/** Something that is no query ran. */
const command = (id: string, aim: string, ...attacker: AttackCase["attacker"]): AttackCase => ({
  id,
  aim,
  attacker,
  breaks: attacker.map((_attempt, position) => ({ succeeds: position })),
});
const refused = (
  id: string,
  aim: string,
  neverBroke: string,
  ...attacker: AttackCase["attacker"]
) => ({
  ...command(id, aim, ...attacker),
  neverBroke,
});
const TWICE = [{ attackerSees: /ran-twice/ }] as const;
const AGAIN = "select 'ran' || '-twice'";

/** Leave the one query: more statements, other commands, the transaction, files and programs of the server. */
export const escape: readonly AttackCase[] = [
  {
    id: "two-statements",
    aim: "run a second statement",
    attacker: [`select 1; ${AGAIN}`],
    breaks: TWICE,
  },
  {
    id: "two-statements-quoted",
    aim: "hide the second statement from who splits at semicolons",
    attacker: [`select ';' /* ; */ as "a;b"; ${AGAIN}`],
    breaks: TWICE,
  },
  {
    id: "two-statements-backslash",
    aim: "hide the second statement behind a string that ends elsewhere",
    attacker: [
      `select set_config('standard_conforming_strings', 'off', false)`,
      `select 'a\\'; ${AGAIN}; --'`,
    ],
    breaks: TWICE,
  },
  {
    id: "two-statements-comment",
    aim: "hide it behind a nested comment",
    attacker: [`select 1 /* /* */ ; */; ${AGAIN}`],
    breaks: TWICE,
  },
  {
    id: "commit-in-front",
    aim: "end the transaction",
    attacker: [`commit; ${AGAIN}`],
    breaks: TWICE,
  },
  {
    id: "rollback-in-front",
    aim: "give the transaction up",
    attacker: [`rollback; ${AGAIN}`],
    breaks: TWICE,
  },
  command("commit", "end the transaction", "commit"),
  command("savepoint", "control the transaction", ["savepoint s", "rollback to s"]),
  command("write-in-a-read", "make the transaction one that writes", [
    "set transaction read write",
    "explain select 1",
  ]),
  command("explain", "run EXPLAIN, which tells what no row does", "explain select * from payroll"),
  command(
    "explain-analyze",
    "run EXPLAIN ANALYZE",
    "explain (analyze, format json) select * from payroll",
  ),
  command("show", "run SHOW", "show all"),
  command("set", "run SET", "set local work_mem = '64kB'"),
  command("reset", "run RESET", "reset work_mem"),
  command("do", "run a DO block", "do $d$ begin perform 1; end $d$"),
  command("call", "CALL a procedure of one's own", [
    "create procedure pg_temp.p() language plpgsql as 'begin perform 1; end'",
    "call pg_temp.p()",
  ]),
  command("prepare-execute", "run a prepared statement", ["prepare p as select 1", "execute p"]),
  command("declare-fetch", "run a cursor of one's own", [
    "declare c cursor for select 1",
    "fetch all from c",
  ]),
  command("copy-out", "run COPY, which speaks another protocol", "copy (select 1) to stdout"),
  command("listen-notify", "run NOTIFY", "notify app_events, 'hello'"),
  command("lock", "run LOCK", "lock table payroll in share mode"),
  command("set-constraints", "run SET CONSTRAINTS", "set constraints all deferred"),
  command("discard-sequences", "run DISCARD", "discard sequences"),
  command("checkpoint-like", "run what only maintains", "analyze payroll"),
  {
    id: "prepare-transaction",
    aim: "leave a prepared transaction, which keeps its locks for good",
    setup: "select 1",
    attacker: [["lock table limits in share mode", "prepare transaction '{{role}}'"]],
  },
  {
    id: "close-the-parenthesis",
    aim: "close the parenthesis that the write sandbox puts around the text",
    attacker: [
      "select 1) select 'out' || 'side' --",
      "select 1) select 'out' || 'side' /*",
      "select 1), b as (select 'out' || 'side' as s) select s from b union all (select '1'",
      "select 1) insert into payroll (note",
      "select 1) select 'out' || 'side' where exists (select 1",
      `select 1) as behalf_w, (select 'out' || 'side'`,
    ],
    breaks: [{ attackerSees: /outside/ }],
    neverBroke: "The usual recipe has no parenthesis.",
  },
  {
    id: "dollar-quotes",
    aim: "end the quotes of somebody who builds statements by dollar quotes",
    attacker: [`select $q$ $a$ $$ $body$ $q$; ${AGAIN}`, `$body$; ${AGAIN}; $body$`],
    breaks: TWICE,
  },
  {
    id: "nul",
    aim: "end the text for one reader before its end",
    attacker: [`select 1\0; ${AGAIN}`],
    breaks: TWICE,
    neverBroke: "The server refuses the message.",
  },
  {
    id: "gateway-cursor",
    aim: "use the cursor that the text itself runs in",
    attacker: [
      "fetch all from behalf_cursor",
      "close behalf_cursor",
      "move all from behalf_cursor",
      "select cursor_to_xml('behalf_cursor', 10, true, true, '')",
    ],
    breaks: [{ attackerSees: /<row/ }],
    neverBroke: "The usual recipe has no such cursor.",
  },
  refused(
    "copy-in",
    "run COPY FROM STDIN, which waits for data",
    "The driver refuses to send data.",
    "copy payroll (note) from stdin",
  ),
  refused(
    "server-files",
    "read and write files of the server",
    "Only members of pg_read_server_files and pg_write_server_files may.",
    "select pg_read_file('/etc/passwd')",
    "select * from pg_ls_dir('.')",
    "select pg_read_binary_file('postgresql.conf')",
    "select lo_import('/etc/passwd')",
    "copy payroll to '/tmp/behalf-attack'",
    "copy payroll from '/etc/passwd'",
    "select pg_stat_file('postgresql.conf')",
    "select lo_export(1, '/tmp/behalf-attack')",
  ),
  refused(
    "server-programs",
    "run a program on the server",
    "Only members of pg_execute_server_program may.",
    "copy payroll to program 'id'",
    "copy (select 1) to program 'id'",
  ),
  refused(
    "load-library",
    "load a library into the server",
    "Only a superuser may, outside of its plugins folder.",
    "load 'dblink'",
    "select set_config('session_preload_libraries', 'x', true)",
    "select set_config('dynamic_library_path', '/tmp', true)",
  ),
  refused(
    "administration",
    "call what administers the server",
    "EXECUTE on these is nobody's.",
    "select pg_reload_conf()",
    "select pg_rotate_logfile()",
    "select pg_switch_wal()",
    "select pg_create_restore_point('x')",
    "select pg_promote()",
    "select pg_log_backend_memory_contexts(pg_backend_pid())",
    "select pg_stat_reset()",
    "select * from pg_backend_memory_contexts",
    "checkpoint",
  ),
];
