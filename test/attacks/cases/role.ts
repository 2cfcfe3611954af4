import type { AttackCase } from "../attack-case.ts";

const IS_LOGIN = [{ attackerSees: /was {{login}}/ }] as const;
const WHO = "select 'was ' || current_user";

/** Run as another role than the one for agents' texts. */
export const role: readonly AttackCase[] = [
  {
    id: "role-none-in-select",
    aim: "take the role off by set_config, in one SELECT",
    attacker: ["select set_config('role', 'none', true), 'was ' || current_user"],
    breaks: IS_LOGIN,
  },
  {
    id: "role-none-for-good",
    aim: "take the role off for the session",
    attacker: ["select set_config('role', 'none', false), 'was ' || current_user"],
    breaks: IS_LOGIN,
  },
  {
    id: "role-login-in-select",
    aim: "become the login by its name",
    attacker: ["select set_config('role', session_user, true), 'was ' || current_user"],
    breaks: IS_LOGIN,
  },
  {
    id: "role-in-xml",
    aim: "take the role off in a text that query_to_xml runs",
    attacker: [
      "select query_to_xml($q$select set_config('role', 'none', true)$q$, true, true, ''), 'was ' || current_user",
    ],
    breaks: IS_LOGIN,
  },
  {
    id: "role-in-with",
    aim: "take the role off before the statement's own part runs",
    attacker: [
      "with f as materialized (select set_config('role', 'none', true)) select 'was ' || current_user from f",
    ],
    breaks: IS_LOGIN,
  },
  { id: "reset-role", aim: "RESET ROLE", attacker: [["reset role", WHO]], breaks: IS_LOGIN },
  {
    id: "reset-role-message",
    aim: "RESET ROLE in front",
    attacker: [`reset role; ${WHO}`],
    breaks: IS_LOGIN,
  },
  {
    id: "set-role-none",
    aim: "SET ROLE NONE",
    attacker: [["set local role none", WHO]],
    breaks: IS_LOGIN,
  },
  {
    id: "set-role-login",
    aim: "SET ROLE to the login",
    attacker: [["set role {{login}}", WHO]],
    breaks: IS_LOGIN,
  },
  {
    id: "session-authorization",
    aim: "SET SESSION AUTHORIZATION DEFAULT, which takes the role off, too",
    attacker: [["set session authorization default", WHO]],
    breaks: IS_LOGIN,
  },
  {
    id: "session-authorization-in-select",
    aim: "the same by set_config",
    attacker: [["select set_config('session_authorization', session_user, true)", WHO]],
    breaks: IS_LOGIN,
  },
  {
    id: "role-in-do",
    aim: "take the role off in a DO block",
    attacker: [["do $d$ begin execute 'reset role'; end $d$", WHO]],
    breaks: IS_LOGIN,
  },
  {
    id: "role-after-commit",
    aim: "outlive SET LOCAL by COMMIT",
    attacker: [`commit; ${WHO}`],
    breaks: IS_LOGIN,
  },
  {
    id: "role-after-rollback",
    aim: "outlive SET LOCAL by ROLLBACK",
    attacker: [`rollback; begin; ${WHO}`],
    breaks: IS_LOGIN,
  },
  {
    id: "role-after-chain",
    aim: "outlive SET LOCAL by COMMIT AND CHAIN",
    attacker: [["commit and chain", WHO]],
    breaks: IS_LOGIN,
  },
  {
    id: "role-in-procedure",
    aim: "COMMIT in a procedure of one's own",
    attacker: [
      [
        "create procedure pg_temp.p() language plpgsql as 'begin reset role; end'",
        "call pg_temp.p()",
        WHO,
      ],
    ],
    breaks: IS_LOGIN,
  },
  {
    id: "login-password",
    aim: "change the login's own password",
    attacker: [["reset role", "alter role {{login}} password 'mine'"]],
  },
  {
    id: "login-password-in-select",
    aim: "the same where only the first word is looked at",
    attacker: ["select set_config('role', 'none', true); alter role {{login}} password 'mine'"],
  },
  {
    id: "login-settings",
    aim: "give the login a setting that every later connection has",
    attacker: [["reset role", "alter role {{login}} set search_path = 'pg_temp'"]],
    cleanup: "alter role {{login}} reset search_path",
  },
  {
    id: "role-settings",
    aim: "give the agent role itself a setting",
    attacker: [
      "alter role {{role}} set work_mem = '1GB'",
      "alter role current_user set work_mem = '1GB'",
    ],
    cleanup: "alter role {{role}} reset work_mem",
  },
  {
    id: "kill-others",
    aim: "end the sessions of everybody who uses this login",
    victim: "select 1, pg_sleep(0.25)",
    attacker: [
      "select set_config('role', 'none', true), (select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = session_user and pid <> pg_backend_pid())",
    ],
  },
  {
    id: "cancel-others",
    aim: "cancel what everybody else runs over this login",
    victim: "select 2, pg_sleep(0.25)",
    attacker: [
      "select set_config('role', 'none', true), (select count(pg_cancel_backend(pid)) from pg_stat_activity where usename = session_user and pid <> pg_backend_pid())",
    ],
  },
  {
    id: "kill-others-as-agent",
    aim: "end others' sessions without a change of role",
    victim: "select 3, pg_sleep(0.15)",
    attacker: [
      "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = session_user and pid <> pg_backend_pid()",
    ],
    neverBroke: "The agent role is no member of the login.",
  },
  {
    id: "become-superuser",
    aim: "become a role that may everything",
    attacker: [
      "set role postgres",
      "select set_config('role', 'postgres', true)",
      "set session authorization postgres",
      "select set_config('role', 'pg_read_all_data', true), * from payroll",
      "select set_config('role', 'behalf_owner', true)",
    ],
    breaks: [{ succeeds: 0 }, { succeeds: 1 }, { succeeds: 2 }, { succeeds: 3 }, { succeeds: 4 }],
    neverBroke: "The login is no member of any of these.",
  },
  {
    id: "own-agents-function",
    aim: "make a function that runs as its maker, for whoever comes next",
    attacker: [
      "create function public.planted() returns text language sql security definer as 'select current_user'",
    ],
    breaks: [{ succeeds: 0 }],
    neverBroke: "From PostgreSQL 15 on nobody may create in public unless a DBA lets them.",
  },
];
