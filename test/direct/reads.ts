import type { Random } from "./random.ts";
import { type Column, keyValue, type Schema, type Table } from "./schema.ts";
import { literal } from "./values.ts";

/** One text, the same for the agent and for the human who logged in. */
export interface Query {
  readonly text: string;
  /** Whether it says in which order its rows come; else they are compared as a multiset. */
  readonly isOrdered: boolean;
}

const ordered = (text: string): Query => ({ text, isOrdered: true });
const unordered = (text: string): Query => ({ text, isOrdered: false });

export const readable = (table: Table): readonly Column[] =>
  table.columns.filter(({ isGranted }) => isGranted);

/** Columns that can be grouped, compared and sorted. */
const sortable = (table: Table) => readable(table).filter(({ type }) => type.isOrdered);

/** An expression over the columns of `alias`: the same value for the same row, whatever the plan. */
export function expression(random: Random, table: Table, alias: string): string {
  const column = random.pick(readable(table));
  const name = `${alias}.${column.name}`;
  const forms = [
    name,
    `${name}::text`,
    `${alias}.id`,
    `coalesce(${name}::text, 'none')`,
    `${name} is null`,
    `to_jsonb(${name})`,
    `array[${alias}.owner, ${name}::text]`,
    `row(${alias}.id, ${name})`,
    alias,
    `case when ${alias}.secret then ${name}::text when ${alias}.level > 2 then 'high' end`,
    `length(${name}::text)`,
    `quote_literal(${name}::text)`,
    `upper(${alias}.owner) || ' ' || ${alias}.org`,
    `play.twice(${alias}.level)`,
    `${alias}.level::numeric / 3`,
    `${alias}.level::float8 / 3`,
    `jsonb_build_object('k', ${name}, 'n', ${alias}.level)`,
    `json_build_array(${name}, null, ${alias}.team)`,
    `concat_ws(',', ${alias}.owner, null, ${name}::text)`,
    `regexp_replace(${name}::text, '[aeiou]', '*', 'g')`,
    `md5(${name}::text)`,
    `nullif(${alias}.owner, 'alice')`,
    `greatest(${alias}.level, 2)`,
    `(${alias}.level, ${alias}.team) < (3, 'm')`,
    `position('a' in ${name}::text)`,
    `encode(convert_to(${name}::text, 'UTF8'), 'base64')`,
    `pg_typeof(${name})`,
    `${alias}.tableoid::regclass`,
    `string_to_array(${name}::text, ',')`,
    `format('%L %I %s', ${name}, ${alias}.owner, ${alias}.level)`,
    ...byType(column.type.sql, name),
  ];
  return random.pick(forms.filter((form) => !table.isView || !form.includes("tableoid")));
}

/** What is done with one type alone, and what settings change. */
function byType(type: string, name: string): readonly string[] {
  switch (type) {
    case "timestamptz":
      return [
        `date_trunc('day', ${name})`,
        `${name} at time zone 'Asia/Tokyo'`,
        `extract(epoch from ${name})`,
        `${name}::date`,
        `${name}::timestamp`,
        `to_char(${name}, 'Day DD Mon YYYY HH24:MI TZ')`,
      ];
    case "timestamp":
      return [`${name}::timestamptz`, `date_part('hour', ${name})`, `to_char(${name}, 'TMMonth')`];
    case "date":
      return [`${name}::timestamptz`, `to_char(${name}, 'IYYY-IW')`, `isfinite(${name})`];
    case "interval":
      return [`justify_interval(${name})`, `${name} * 2`, `extract(epoch from ${name})`];
    case "numeric":
    case "numeric(12, 2)":
      return [
        `${name} * 3`,
        `round(${name}, 1)`,
        `to_char(${name}, 'FM999G999D99')`,
        `${name}::text::numeric`,
      ];
    case "float8":
    case "float4":
      return [`${name}::numeric`, `${name}::text`, `${name} * 3`, `trunc(${name})`];
    case "jsonb":
      return [
        `${name} -> 'a'`,
        `${name} #>> '{a,b,1}'`,
        `jsonb_pretty(${name})`,
        `jsonb_typeof(${name})`,
        `jsonb_path_query_array(${name}, '$.**')`,
      ];
    case "json":
      return [`${name} ->> 'a'`, `${name}::jsonb`];
    case "bytea":
      return [`encode(${name}, 'hex')`, `${name} || '\\x00'::bytea`, `sha256(${name})`];
    case "money":
      return [`${name}::numeric`, `${name} * 2`];
    case "int[]":
    case "text[]":
      return [
        `cardinality(${name})`,
        `array_append(${name}, null)`,
        `${name}[1]`,
        `array_dims(${name})`,
      ];
    case "inet":
      return [`host(${name})`, `masklen(${name})`, `network(${name})`];
    case "int4range":
      return [`lower(${name})`, `${name} * int4range(2, 9)`];
    case "play.pair":
      return [`(${name}).word`, `(${name}).*`];
    case "int":
      return [`${name} + 1`, `${name}::bigint * ${name}`, `to_hex(${name})`];
    case "boolean":
      return [`not ${name}`];
    default:
      return [];
  }
}

/** A condition that cannot fail. */
export function predicate(random: Random, table: Table, alias: string): string {
  const column = random.pick(sortable(table));
  const name = `${alias}.${column.name}`;
  const values = column.type.values;
  const value = values.length > 0 ? `${literal(random.pick(values))}::${column.type.sql}` : name;
  return random.pick([
    `${name} ${random.pick(["=", "<>", "<", ">=", "is distinct from"])} ${value}`,
    `${name} is ${random.pick(["", "not "])}null`,
    `${name} in (${value}, null)`,
    `${alias}.owner ${random.pick(["=", "<>"])} ${literal(random.pick(["alice", "bob", "carol"]))}`,
    `${alias}.org like ${literal(random.pick(["a%", "%e%", "_n%"]))}`,
    `${alias}.level between ${random.int(3)} and ${2 + random.int(4)}`,
    `not ${alias}.secret`,
    `(${alias}.secret or ${alias}.level > ${random.int(5)})`,
    `${alias}.team ~ '^[rgb]'`,
    `${alias}.id = ${literal(keyValue(table, 1 + random.int(20)))}`,
    `${alias}.level = any (array[${random.int(6)}, ${random.int(6)}])`,
    "true",
    "false",
    "null",
  ]);
}

type Form = (random: Random, one: Table, two: Table) => Query;

const list = (random: Random, table: Table, alias: string, most = 4) =>
  Array.from({ length: 1 + random.int(most) }, () => expression(random, table, alias)).join(", ");
const where = (random: Random, table: Table, alias: string) =>
  random.chance(0.6)
    ? ` where ${predicate(random, table, alias)}${random.chance(0.3) ? ` ${random.pick(["and", "or"])} ${predicate(random, table, alias)}` : ""}`
    : "";

const FORMS: readonly Form[] = [
  (r, t) => unordered(`select ${list(r, t, "a")} from ${t.name} a${where(r, t, "a")}`),
  (r, t) => unordered(`select ${list(r, t, "a")}, a.id, a.id from ${t.name} a${where(r, t, "a")}`),
  (r, t) =>
    ordered(
      `select a.id, ${list(r, t, "a")} from ${t.name} a${where(r, t, "a")} order by ${r.pick(["a.id", "a.level desc nulls first, a.id", "a.team nulls last, a.id desc"])}${r.chance(0.6) ? ` limit ${r.int(8)} offset ${r.int(3)}` : ""}`,
    ),
  (r, t, u) =>
    unordered(
      `select ${list(r, t, "a", 2)}, ${list(r, u, "b", 2)} from ${t.name} a ${r.pick(["join", "left join", "right join"])} ${u.name} b on ${r.pick(["a.org = b.org", "a.owner = b.owner and a.level < b.level", "a.team = b.team"])}${where(r, t, "a")}`,
    ),
  (r, t, u) =>
    unordered(
      `select a.id, b.id from ${t.name} a full join ${u.name} b on a.org = b.org and a.level = b.level`,
    ),
  (r, t, u) => unordered(`select count(*) from ${t.name} a, ${u.name} b${where(r, t, "a")}`),
  (r, t) =>
    unordered(
      `select a.org, count(*), count(distinct a.owner), min(a.level), max(a.team), sum(a.level), avg(a.level), bool_or(a.secret), array_agg(a.owner order by a.id), string_agg(a.team, ';' order by a.id), jsonb_agg(a.level order by a.id) from ${t.name} a${where(r, t, "a")} group by a.org${r.chance(0.4) ? " having count(*) > 1" : ""}`,
    ),
  (r, t) =>
    unordered(
      `select a.org, a.level, grouping(a.org, a.level), count(*) from ${t.name} a group by ${r.pick(["cube (a.org, a.level)", "rollup (a.org, a.level)", "grouping sets ((a.org), (a.level), ())"])}`,
    ),
  (r, t) =>
    unordered(
      `select count(*), sum(a.level) filter (where a.secret), max(a.org) from ${t.name} a${where(r, t, "a")}`,
    ),
  (r, t) =>
    unordered(
      `select a.id, row_number() over w, rank() over (order by a.level), lag(a.owner) over w, sum(a.level) over (partition by a.org order by a.id rows between 1 preceding and current row), first_value(a.team) over w, ntile(3) over w, count(*) over () from ${t.name} a${where(r, t, "a")} window w as (partition by a.org order by a.id)`,
    ),
  (r, t, u) =>
    unordered(
      `with mine as ${r.pick(["", "materialized", "not materialized"])} (select a.* from (select ${["id", ...readable(t).map(({ name }) => name)].join()} from ${t.name}) a${where(r, t, "a")}) select m.id, (select count(*) from ${u.name} b where b.org = m.org) as n from mine m`,
    ),
  (_, t) =>
    unordered(
      `with recursive n (i) as (select 1 union all select i + 1 from n where i < 6) select i, count(a.id), array_agg(a.owner order by a.id) from n left join ${t.name} a on a.level = i group by i`,
    ),
  (r, t, u) =>
    t.parent === u.name
      ? unordered(
          `select c.id, p.id, ${expression(r, u, "p")} from ${t.name} c left join ${u.name} p on p.id = c.parent`,
        )
      : unordered(
          `select ${list(r, t, "a")} from ${t.name} a where a.org in (select b.org from ${u.name} b${where(r, u, "b")})`,
        ),
  (r, t, u) =>
    unordered(
      `select a.id, ${expression(r, t, "a")} from ${t.name} a where ${r.pick(["", "not "])}exists (select from ${u.name} b where b.owner = a.owner and ${predicate(r, u, "b")})`,
    ),
  (r, t, u) =>
    unordered(
      `select a.id, (select max(b.level) from ${u.name} b where b.org = a.org), array(select b.id from ${u.name} b where b.level = a.level order by b.id limit 3) from ${t.name} a`,
    ),
  (_, t, u) =>
    unordered(
      `select a.id from ${t.name} a where a.level >= all (select b.level from ${u.name} b where b.level is not null and b.secret)`,
    ),
  (r, t, u) =>
    unordered(
      `select org, level, team from ${t.name} ${r.pick(["union", "union all", "intersect", "intersect all", "except", "except all"])} select org, level, team from ${u.name}`,
    ),
  (r, t, u) => {
    const [join, on] = r.pick([
      ["cross join lateral", ""],
      ["left join lateral", " on true"],
    ]);
    return unordered(
      `select a.id, x.* from ${t.name} a ${join} (select b.id, b.owner from ${u.name} b where b.org = a.org order by b.level, b.id limit 2) x${on}`,
    );
  },
  (r, t) => {
    const column = r.pick(sortable(t));
    return unordered(`select distinct ${column.name} from ${t.name}`);
  },
  (r, t) =>
    unordered(
      `select distinct on (a.org) a.org, a.id, ${expression(r, t, "a")} from ${t.name} a order by a.org, a.level desc, a.id`,
    ),
  (_, t) => unordered(`select from ${t.name}`),
  (_, t) =>
    unordered(`select a.owner, a.*, a from (select id, owner, team from ${t.name}) a where false`),
  (_, t) =>
    unordered(`select a, a.id as id, a.org as id from (select id, org, level from ${t.name}) a`),
  (r, t) => {
    const names = ["id", ...readable(t).map(({ name }) => name)].join();
    return unordered(
      r.pick([
        `select row_to_json(a) from (select ${names} from ${t.name}) a`,
        `select to_jsonb(a) - 'id' from (select ${names} from ${t.name}) a`,
        `select (a).* from (select ${names} from ${t.name}) a`,
        `select a::text, a is null, row(a.*) from (select ${names} from ${t.name}) a`,
      ]),
    );
  },
  (_, t) =>
    unordered(
      `select json_object_agg(a.id, a.team order by a.id), jsonb_object_agg(coalesce(a.owner, ''), a.level order by a.id), json_agg(a order by a.id) from (select id, owner, team, level from ${t.name}) a`,
    ),
  (r, t) =>
    unordered(
      `select a.id, e.key, e.value from ${t.name} a, jsonb_each(jsonb_build_object('x', a.level, 'y', a.${r.pick(readable(t)).name}::text)) e`,
    ),
  (_, t) =>
    unordered(
      `select a.id, u.* from ${t.name} a, unnest(string_to_array(a.owner, 'l')) with ordinality as u (part, n)`,
    ),
  (_, t) =>
    unordered(
      `select g, count(a.id) from generate_series(0, 5) g left join ${t.name} a on a.level = g group by g`,
    ),
  (_, t) => unordered(`values (1, null, 'x'), (2, (select max(level) from ${t.name}), 'y')`),
  (r, t) =>
    unordered(
      readable(t).length === t.columns.length
        ? `table ${t.name}`
        : `select ${r.pick(readable(t)).name} from ${t.name}`,
    ),
  (_, t) =>
    unordered(`select level, owner from ${t.name} order by level fetch first 3 rows with ties`),
  (_, t) => ordered(`select id, level from ${t.name} order by level using >, id; `),
  (_, t) => ordered(`/* a comment */ select id from ${t.name} order by id -- and another`),
  (_, t) =>
    unordered(
      `select 'a' as one, null, null as "Ünïcode ""name""", U&'\\0041', $$dollar$$, ${literal("x\\y'z")}, id from ${t.name}`,
    ),
  (_, t) =>
    unordered(
      `select current_setting('search_path') like 'play%', '2026-01-01'::timestamptz, '01/02/2026'::date, 0.1::float8 + 0.2, 1e20::float4, interval '1 year 2 hours', '\\xde'::bytea, count(*) from ${t.name}`,
    ),
  (_, t) =>
    unordered(
      `select a.id, overlay(a.org placing 'X' from 1), substring(a.owner from '[a-c]+'), a.owner collate "C" < 'b', cast(a.level as bit(8)) from ${t.name} a`,
    ),
  (r, t) =>
    unordered(
      `select width_bucket(a.level, 0, 6, 3), count(*) from ${t.name} a${where(r, t, "a")} group by 1 order by 2 desc, 1`,
    ),
  (_, t, u) =>
    unordered(
      `select a.level, mode() within group (order by a.org), percentile_disc(0.5) within group (order by a.level) from ${t.name} a where a.org in (select org from ${u.name}) group by a.level`,
    ),
  (_, t) =>
    unordered(
      `with recursive walk (id, depth, path) as (select a.id, 0, array[a.id] from ${t.name} a where a.level = 0 union all select a.id, w.depth + 1, w.path || a.id from walk w join ${t.name} a on a.level = w.depth + 1 and a.secret is false where w.depth < 3) select depth, count(*) from walk group by depth`,
    ),
];

/** What the server refuses: both must be refused, and with the same SQLSTATE. */
const ERRORS: readonly Form[] = [
  (_, t) => unordered(`select nope from ${t.name}`),
  () => unordered("select * from no_such_table"),
  (_, t) => unordered(`select no_such_function(id) from ${t.name}`),
  (_, t) => unordered(`select level from ${t.name} group by org`),
  (_, t) => unordered(`select 1 / (level - level) from ${t.name} where level is not null`),
  (_, t) => unordered(`select 'x'::int, id from ${t.name}`),
  (_, t) => unordered(`selec id from ${t.name}`),
  (_, t) => unordered(`select id from ${t.name} where`),
  (_, t, u) => unordered(`select owner from ${t.name} a, ${u.name} b`),
  (_, t) => unordered(`select id from ${t.name} where owner = 1`),
  () => unordered("select * from play.log"),
  () => unordered("select * from play.teams"),
  () => unordered("select pg_read_file('/etc/hosts')"),
  () => unordered("select * from pg_authid"),
  (_, t) => unordered(`select * from ${t.name} where level > 'high'`),
  (_, t) => unordered(`select sum(owner) from ${t.name}`),
  (_, t) => unordered(`select id from ${t.name} union select secret from ${t.name}`),
  (_, t) => unordered(`select id from ${t.name} order by 7`),
  (_, t) => unordered(`select id from ${t.name} limit -1`),
  (_, t) => unordered(`select (select id from ${t.name}), 1`),
  (_, t) => unordered(`select '{bad json'::jsonb from ${t.name}`),
  () => unordered("select '2026-02-30'::date"),
  () => unordered("select 99999999999::int"),
  () => unordered("select 'unterminated"),
  () => unordered("select array[1, 'x']"),
];

/** A text that reads, of one of the schema's tables and views. */
export function readQuery(random: Random, { tables }: Schema): Query {
  const form = random.chance(0.12) ? random.pick(ERRORS) : random.pick(FORMS);
  return form(random, random.pick(tables), random.pick(tables));
}
