import { type AttackCase } from "../attack-case.ts";
import { HOSTILE_HUMANS } from "../attack-world.ts";

const FORGE = "set_config('{{claims}}', '{{alice}}', true)";
const ALL = "select * from payroll";
const ONLY_BEHALF = "The usual recipe has nothing of the kind.";

/** See or change rows of another human by being taken for them. */
export const identity: readonly AttackCase[] = [
  {
    id: "claims-in-with",
    aim: "forge the claims before the table is read, in one statement",
    attacker: [`with f as materialized (select ${FORGE}) select p.* from f, payroll p`],
  },
  {
    id: "claims-then-select",
    aim: "forge the claims in a first statement",
    attacker: [`select ${FORGE}; ${ALL}`],
  },
  {
    id: "claims-set-local",
    aim: "forge the claims with SET LOCAL",
    attacker: [`set local "{{claims}}" = '{{alice}}'; ${ALL}`],
  },
  {
    id: "claims-set-session",
    aim: "forge the claims with SET",
    attacker: [["set \"{{claims}}\" = '{{alice}}'", ALL]],
  },
  {
    id: "claims-in-a-run",
    aim: "forge the claims in an earlier text of the transaction",
    attacker: [[`select ${FORGE}`, ALL]],
  },
  {
    id: "claims-in-a-run-for-good",
    aim: "forge the claims for the session in an earlier text of the transaction",
    attacker: [["select set_config('{{claims}}', '{{alice}}', false)", ALL]],
  },
  {
    id: "claims-in-where",
    aim: "forge the claims in a one-time filter",
    attacker: [`select * from payroll where (select ${FORGE}) is not null`],
  },
  {
    id: "claims-in-values",
    aim: "forge the claims in a VALUES list that is joined",
    attacker: [`select p.* from (values (${FORGE}), ('x')) v, payroll p`],
  },
  {
    id: "claims-in-lateral",
    aim: "forge the claims in a function scan",
    attacker: [
      `select p.* from generate_series(1, length(${FORGE}) * 0 + 1) g, lateral (select * from payroll offset 0) p`,
    ],
  },
  {
    id: "claims-in-the-list",
    aim: "forge the claims in the select list, before a subquery of the same list",
    attacker: [`select ${FORGE}, (select string_agg(note, ',') from payroll)`],
  },
  {
    id: "claims-in-case",
    aim: "forge the claims in the condition of a CASE",
    attacker: [
      `select case when ${FORGE} is not null then (select string_agg(note, ',') from payroll) end`,
    ],
  },
  {
    id: "claims-in-coalesce",
    aim: "forge the claims in a COALESCE whose second part reads",
    attacker: [
      `select coalesce(nullif(${FORGE}, '{{alice}}'), (select max(note collate "C") from payroll where org_id = 'acme'))`,
    ],
  },
  {
    id: "claims-in-union",
    aim: "forge the claims in the first branch of a UNION",
    attacker: [`select ${FORGE} union all select note from payroll`],
  },
  {
    id: "claims-in-recursion",
    aim: "forge the claims in the first term of a recursion",
    attacker: [
      `with recursive r(n, note) as (select 1, ${FORGE} union all select n + 1, p.note from r, payroll p where n < 2) select * from r`,
    ],
  },
  {
    id: "claims-in-exists",
    aim: "forge the claims in an EXISTS that is looked at first",
    attacker: [`select * from payroll where exists (select ${FORGE} offset 0)`],
  },
  {
    id: "claims-in-limit",
    aim: "forge the claims in the LIMIT",
    attacker: [`select * from (select * from payroll offset 0) p limit length(${FORGE})`],
  },
  {
    id: "claims-tampered",
    aim: "change one claim of one's own, and keep the rest",
    attacker: [
      "with f as materialized (select set_config('{{claims}}', replace(current_setting('{{claims}}'), 'globex', 'acme'), true)) select p.* from f, payroll p",
    ],
  },
  {
    id: "claims-in-xml",
    aim: "forge the claims in a text that query_to_xml runs",
    attacker: [
      `select query_to_xml($q$select ${FORGE}$q$, true, true, ''), query_to_xml('select * from payroll', true, true, '')`,
    ],
  },
  {
    id: "claims-in-table-xml",
    aim: "read the table by table_to_xml once the claims are forged",
    attacker: [`select ${FORGE}, table_to_xml('payroll', true, true, '')`],
  },
  {
    id: "claims-in-schema-xml",
    aim: "read every table by schema_to_xml once the claims are forged",
    attacker: [`select ${FORGE}, schema_to_xml('public', true, true, '')`],
  },
  {
    id: "claims-in-ts-stat",
    aim: "read the table by ts_stat once the claims are forged",
    attacker: [
      `select s.word from (select ${FORGE} offset 0) f, ts_stat($q$select array_to_tsvector(array[coalesce(note, 'x')]) from payroll$q$) s`,
    ],
  },
  {
    id: "claims-in-cursor-xml",
    aim: "open a cursor as oneself and read it as somebody else",
    attacker: [
      `declare c cursor for select * from payroll; select ${FORGE}; select cursor_to_xml('c', 10, true, true, '')`,
    ],
  },
  {
    id: "claims-in-cursor",
    aim: "open a cursor as oneself and fetch as somebody else",
    attacker: [
      ["declare c cursor for select * from payroll", `select ${FORGE}`, "fetch all from c"],
    ],
  },
  {
    id: "claims-in-do",
    aim: "forge the claims in a DO block",
    attacker: [[`do $d$ begin perform ${FORGE}; end $d$`, ALL]],
  },
  {
    id: "claims-in-prepared",
    aim: "prepare as oneself and execute as somebody else",
    attacker: [["prepare p as select * from payroll", `select ${FORGE}`, "execute p"]],
  },
  {
    id: "claims-in-function",
    aim: "read in a function that has the forged claims as a setting of its own",
    attacker: [
      [
        `create function pg_temp.f() returns setof payroll language sql set "{{claims}}" = '{{alice}}' as 'select * from payroll'`,
        "select * from pg_temp.f()",
      ],
    ],
    neverBroke: "Only a superuser may give a function a setting of a made-up name.",
  },
  {
    id: "claims-in-domain",
    aim: "forge the claims in the check of a domain",
    attacker: [
      [
        `create domain pg_temp.d as text check (${FORGE} is not null)`,
        "select 'x'::pg_temp.d",
        ALL,
      ],
    ],
  },
  {
    id: "claims-in-default",
    aim: "forge the claims in the default of a temporary table's column",
    attacker: [
      [`create temp table t (a text default ${FORGE}, b int)`, "insert into t (b) values (1)", ALL],
    ],
  },
  {
    id: "claims-in-view",
    aim: "forge the claims in a temporary view",
    attacker: [
      [
        `create temp view v as select p.* from (select ${FORGE} offset 0) f, payroll p`,
        "select * from v",
      ],
    ],
  },
  {
    id: "claims-after-savepoint",
    aim: "forge the claims in a subtransaction",
    attacker: [["savepoint s", `select ${FORGE}`, "release s", ALL]],
  },
  {
    id: "claims-after-commit",
    aim: "end the human's transaction and begin one of one's own",
    attacker: [
      `commit; begin; select set_config('{{claims}}', '{{alice}}', true); set local role {{role}}; ${ALL}`,
    ],
  },
  {
    id: "forged-update",
    aim: "change Alice's rows",
    attacker: [[`select ${FORGE}`, "update payroll set note = 'changed' where org_id = 'acme'"]],
  },
  {
    id: "forged-update-returning",
    aim: "read Alice's rows by changing them to what they are",
    attacker: [
      [`select ${FORGE}`, "update payroll set salary = salary where org_id = 'acme' returning *"],
    ],
  },
  {
    id: "forged-delete",
    aim: "delete Alice's rows",
    attacker: [[`select ${FORGE}`, "delete from limits where org_id = 'acme' returning *"]],
  },
  {
    id: "forged-insert",
    aim: "put a row under Alice's name",
    attacker: [
      `with f as materialized (select ${FORGE}) insert into payroll (org_id, email, salary) select 'acme', 'x@acme.example', 1 from f`,
    ],
  },
  {
    id: "forged-upsert",
    aim: "change Alice's row by a conflict with it",
    attacker: [
      `with f as materialized (select ${FORGE}) insert into limits select 'acme', 99 from f on conflict (org_id) do update set amount = 99`,
    ],
  },
  {
    id: "forged-merge",
    aim: "change Alice's rows by MERGE",
    attacker: [
      [
        `select ${FORGE}`,
        "merge into limits l using (values (77)) v (n) on l.org_id = 'acme' when matched then update set amount = v.n",
      ],
    ],
  },
  {
    id: "forged-for-share",
    aim: "read Alice's rows with a row lock",
    attacker: [
      `with f as materialized (select ${FORGE}) select p.* from f, payroll p for share of p`,
    ],
  },
  {
    id: "row-security-off",
    aim: "switch row level security off",
    attacker: [
      ["set local row_security = off", ALL],
      "select set_config('row_security', 'off', true), p.* from payroll p",
    ],
    neverBroke: "PostgreSQL refuses the statement instead of showing more.",
  },
  {
    id: "replica-role",
    aim: "switch triggers and rules off",
    attacker: [["set local session_replication_role = replica", ALL]],
    neverBroke: "Only a superuser may.",
  },
  {
    id: "seal-kept",
    aim: "keep the seal of one call and use it in the next",
    attacker: [
      "select set_config('app.kept', current_setting('behalf.seal'), false)",
      [
        "select set_config('behalf.seal', current_setting('app.kept'), true)",
        "select 'still ' || coalesce(behalf.claim('org_id'), 'nobody')",
      ],
    ],
    breaks: [{ attackerSees: /still globex/ }],
    neverBroke: ONLY_BEHALF,
  },
  {
    id: "start-again",
    aim: "begin a call of another human inside one's own",
    attacker: [
      "select behalf.start('bt1.' || repeat('0', 64) || '.{}', 'x', 'alice')",
      "select * from behalf.exchange('eyJhbGciOiJub25lIn0.e30.')",
    ],
    breaks: [{ succeeds: 0 }, { succeeds: 1 }],
    neverBroke: ONLY_BEHALF,
  },
  {
    id: "kit-functions",
    aim: "call what only the gateway may",
    attacker: [
      "select behalf.hmac('', '', '')",
      "select behalf.proved()",
      "select * from behalf.statement()",
      "select behalf.read('select * from payroll', 10, 1000)",
      `select * from behalf_sandbox."{{role}}_read"('select 1', 1, 1)`,
      "select behalf.map_role('x', 'y', 'z', '{{role}}')",
    ],
    breaks: [{ succeeds: 0 }, { succeeds: 1 }, { succeeds: 3 }, { succeeds: 4 }, { succeeds: 5 }],
    neverBroke: ONLY_BEHALF,
  },
  {
    id: "kit-keys",
    aim: "read the keys that seals and tickets are made with",
    attacker: [
      "select * from behalf.secrets",
      "select table_to_xml('behalf.secrets', true, true, '')",
      "select most_common_vals from pg_stats where schemaname = 'behalf'",
    ],
    breaks: [{ succeeds: 0 }, { succeeds: 1 }, { attackerSees: /\\x[0-9a-f]{32}/ }],
    neverBroke: ONLY_BEHALF,
  },
  {
    id: "keys-in-plans",
    aim: "let the server print plans that hold the keys",
    attacker: [
      "select set_config('client_min_messages', 'debug1', true), set_config('debug_print_plan', 'on', true), behalf.claim('org_id')",
    ],
    breaks: [{ attackerSees: /outer_block|:constvalue/ }],
    neverBroke: ONLY_BEHALF,
  },
  {
    id: "claim-names",
    aim: "confuse behalf.claim with what it is asked for",
    attacker: [
      "select behalf.claim($x$' or true --$x$), behalf.claim(repeat('x', 100000)), behalf.claim(''), behalf.claim('act')",
    ],
    breaks: [{ attackerSees: /\bacme\b/ }],
    neverBroke: ONLY_BEHALF,
  },
  ...Object.keys(HOSTILE_HUMANS).map((human): AttackCase => ({
    id: `claim-value-${human}`,
    aim: "be somebody else by the value of a claim in one's own, signed token",
    human,
    attacker: [
      ALL,
      "select * from payroll where org_id = behalf.claim('org_id') or note = behalf.claim('sub')",
    ],
    neverBroke: "The value is data in both recipes; kept against a policy that would make it text.",
  })),
];
