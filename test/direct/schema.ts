import { NATIVE, policies, type Policy, policyText, SEALED } from "./policies.ts";
import { random, type Random } from "./random.ts";
import { type ColumnType, INT, literal, TEXT, TEXTS, TYPES } from "./values.ts";

export interface Column {
  readonly name: string;
  readonly type: ColumnType;
  /** Whether the human may read it. */
  readonly isGranted: boolean;
  /** Whether an INSERT or UPDATE may name it. */
  readonly isWritable: boolean;
}

export interface Table {
  readonly name: string;
  readonly key: ColumnType;
  readonly columns: readonly Column[];
  /** The table that its column `parent` leads to. */
  readonly parent: string | null;
  readonly verbs: readonly string[];
  readonly isView: boolean;
  readonly isPartitioned: boolean;
  readonly policies: readonly Policy[];
}

export interface Schema {
  readonly seed: number;
  readonly tables: readonly Table[];
  /** All of it as one text. Agents' roles and the native logins get the same grants and the same policies. */
  readonly ddl: string;
  /** Gives every sequence the same next number. */
  readonly rewind: string;
}

export interface Roles {
  /** The group of the native logins. */
  readonly humans: string;
  /** What agents' texts read as, write as, and what statements run as. */
  readonly agents: readonly string[];
}

const ORGS = ["acme", "globex", "initech"];
const TEAMS = ["red", "green", "blue", 'it\'s "odd"'];
const PEOPLE = ["alice", "bob", "carol", "dan"];
const KEYS: readonly ColumnType[] = [
  INT,
  { sql: "bigint", values: [], isOrdered: true },
  TEXT,
  { sql: "uuid", values: [], isOrdered: true },
];

/** Settings that the kit pins for agents; the native logins have the same, by ALTER ROLE. */
export const PINS: readonly (readonly [name: string, value: string])[] = [
  ["TimeZone", "UTC"],
  ["DateStyle", "ISO, MDY"],
  ["IntervalStyle", "postgres"],
  ["extra_float_digits", "1"],
  ["bytea_output", "hex"],
  ["xmlbinary", "base64"],
  ["lc_monetary", "C"],
  ["lc_numeric", "C"],
  ["lc_time", "C"],
];

/** The schema, the policies and the rows that belong to a seed. */
export function schema(seed: number, roles: Roles, version: number): Schema {
  const choices = random(seed);
  // One letter more than a type of the same name, and the seed: no text of another schema reads the same.
  const enumType: ColumnType = {
    sql: "play.mood",
    values: ["sad", "ok", "very happy"],
    isOrdered: true,
  };
  const domain: ColumnType = { sql: "play.short", values: ["", "abc", 'é,"'], isOrdered: true };
  const composite: ColumnType = {
    sql: "play.pair",
    values: ["(1,)", '(,"a ""b"" \\\\ , c")', '(-3,"")'],
    isOrdered: true,
  };
  const types = [...TYPES, enumType, domain, composite];
  const tables: Table[] = [];
  const lines = [
    "drop schema if exists play cascade",
    "create schema play",
    "create type play.mood as enum ('sad', 'ok', 'very happy')",
    "create domain play.short as text check (length(value) < 50)",
    "create type play.pair as (number int, word text)",
    "create table play.teams (person text, team text)",
    `insert into play.teams values ${PEOPLE.map((person) =>
      choices.some(TEAMS, 0, 2).map((team) => `('${person}', ${literal(team)})`),
    )
      .flat()
      .concat("('nobody', 'red')")
      .join()}`,
    `create function play.teams_of(person text) returns setof text language sql stable security definer
      set search_path = pg_catalog, pg_temp as 'select t.team from play.teams t where t.person = $1'`,
    "create table play.log (what text)",
    `create function play.note() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
      begin insert into play.log values (tg_op || ' ' || tg_table_name); return null; end $$`,
    `create function play.shout() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
      begin new.team := upper(new.team); return new; end $$`,
    `create function play.twice(x int) returns bigint language sql immutable return x::bigint * 2`,
  ];
  const everybody = [roles.humans, ...roles.agents].join(", ");
  lines.push(`grant usage on schema play to ${everybody}`);
  const count = 1 + choices.int(3);
  for (let at = 1; at <= count; at += 1) {
    const parent = at > 1 && choices.chance(0.6) ? choices.pick(tables) : null;
    const table = makeTable(choices, `t${at}_${seed}`, parent, types);
    tables.push(table);
    lines.push(...tableLines(choices, table, everybody, version));
  }
  for (const [index, table] of tables.entries()) {
    const up = tables.find(({ name }) => name === table.parent) ?? null;
    const made = { ...table, policies: policies(choices, table, up) };
    tables[index] = made;
    for (const policy of made.policies) {
      lines.push(policyText(policy, table.name, "behalf_agents", SEALED));
      lines.push(policyText(policy, table.name, roles.humans, NATIVE));
    }
    lines.push(`select behalf.guard('play.${table.name}')`);
  }
  if (choices.chance(0.4)) {
    const under = choices.pick(tables);
    const columns = under.columns.filter(({ isGranted }) => isGranted);
    const name = `v_${seed}`;
    lines.push(
      `create view play.${name} with (security_invoker = true) as select id, ${columns.map((column) => column.name).join()} from play.${under.name} where level is null or level < 100`,
      `grant select on play.${name} to ${everybody}`,
    );
    tables.push({ ...under, name, columns, isView: true, verbs: [], policies: [] });
  }
  const content = ["log", ...tables.filter(({ isView }) => !isView).map(({ name }) => name)]
    .map((name) => `select '${name} ' || t::text as line from play.${name} t`)
    .join(" union all ");
  lines.push(
    // In one form for everybody who asks, and past all policies.
    `create function play.content() returns text language sql stable security definer set search_path = pg_catalog, pg_temp
      ${PINS.map(([name, value]) => `set ${name} = '${value}'`).join(" ")}
      as $$ select string_agg(line, E'\\n' order by line) from (${content}) lines $$`,
  );
  const rewind = tables
    .filter(({ key, isView }) => !isView && key === INT)
    .map(({ name }) => `select setval('play.${name}_id_seq', 1000)`)
    .join("; ");
  return { seed, tables, ddl: lines.join(";\n"), rewind };
}

function makeTable(
  choices: Random,
  name: string,
  parent: Table | null,
  types: readonly ColumnType[],
): Table {
  const key = choices.pick(KEYS);
  const fixed = (column: string, type: ColumnType): Column => ({
    name: column,
    type,
    isGranted: true,
    isWritable: true,
  });
  const columns: Column[] = [
    fixed("owner", { ...TEXT, values: PEOPLE }),
    fixed("org", { ...TEXT, values: ORGS }),
    fixed("team", { ...TEXT, values: TEAMS }),
    fixed("level", { ...INT, values: ["0", "1", "2", "3", "4", "5"] }),
    fixed("secret", { sql: "boolean", values: ["true", "false"], isOrdered: true }),
  ];
  for (let at = 1, extra = 1 + choices.int(5); at <= extra; at += 1) {
    columns.push({
      name: choices.chance(0.1) ? `"Odd, ""name"" ${at}"` : `c${at}`,
      type: choices.pick(types),
      isGranted: choices.chance(0.95),
      isWritable: true,
    });
  }
  if (choices.chance(0.3)) {
    columns.push({ name: "made", type: TEXT, isGranted: true, isWritable: false });
  }
  if (parent !== null) columns.push(fixed("parent", { ...parent.key, values: [] }));
  return {
    name,
    key,
    columns,
    parent: parent?.name ?? null,
    verbs: choices.chance(0.8)
      ? ["insert", "update", "delete"]
      : choices.some(["insert", "update", "delete"], 0, 2),
    isView: false,
    // A generated column and a trigger on a partitioned table are other paths than the ones meant here.
    isPartitioned: choices.chance(0.15) && !columns.some(({ name: column }) => column === "made"),
    policies: [],
  };
}

/** The value of a row's key: the n-th of its table. */
export function keyValue({ key }: Pick<Table, "key">, n: number): string {
  switch (key.sql) {
    case "uuid":
      return `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
    case "text":
      return `${TEXTS[n % TEXTS.length]?.slice(0, 20) ?? ""}#${n}`;
    case "bigint":
      return String(BigInt(n) * 1_000_000_007n);
    default:
      return String(n);
  }
}

const ROWS = 24;

function tableLines(
  choices: Random,
  table: Table,
  everybody: string,
  version: number,
): readonly string[] {
  const { name, key, columns, isPartitioned } = table;
  const full = `play.${name}`;
  const definitions = columns.map((column) => {
    if (column.name === "made") {
      return "made text generated always as (coalesce(owner, '') || '/' || coalesce(org, '')) stored";
    }
    if (column.name === "parent") {
      return `parent ${column.type.sql} references play.${table.parent ?? ""} on delete ${choices.pick(["cascade", "set null", "restrict"])}`;
    }
    const unique = choices.chance(0.05) && column.name === "c1" && column.type.isOrdered;
    return `${column.name} ${column.type.sql}${unique && !isPartitioned ? " unique" : ""}`;
  });
  const identity =
    key === INT ? ` generated ${choices.pick(["always", "by default"])} as identity` : "";
  const lines = [
    `create table ${full} (id ${key.sql}${identity} primary key, ${definitions.join()})${isPartitioned ? " partition by hash (id)" : ""}`,
  ];
  if (isPartitioned) {
    for (const part of [0, 1]) {
      lines.push(
        `create table ${full}_${part} partition of ${full} for values with (modulus 2, remainder ${part})`,
      );
    }
  }
  // Before 17 a partitioned table has no identity of its own.
  if (isPartitioned && key === INT && version < 17) {
    lines[0] = (lines[0] ?? "").replace(identity, "");
    lines[0] = lines[0].replace(
      "id int primary",
      `id int default nextval('play.${name}_id_seq') primary`,
    );
    lines.unshift(
      `create sequence play.${name}_id_seq`,
      `grant usage on sequence play.${name}_id_seq to ${everybody}`,
    );
  }
  if (choices.chance(0.6))
    lines.push(
      `create index on ${full} (${choices.pick(["owner", "org, level", "team", "level desc, id"])})`,
    );
  const writable = columns.filter(({ isWritable }) => isWritable);
  const rows: string[] = [];
  for (let n = 1, total = choices.chance(0.05) ? 0 : 4 + choices.int(ROWS); n <= total; n += 1) {
    const values = writable.map((column) => {
      if (column.name === "parent") {
        return `(select id from play.${table.parent ?? ""} order by id::text offset ${choices.int(12)} limit 1)`;
      }
      return choices.chance(0.12)
        ? "null"
        : `${literal(choices.pick(column.type.values))}::${column.type.sql}`;
    });
    rows.push(`(${literal(keyValue(table, n))}::${key.sql}, ${values.join()})`);
  }
  if (rows.length > 0) {
    const into = `insert into ${full} (id, ${writable.map((column) => column.name).join()})${identity === "" || (isPartitioned && version < 17) ? "" : " overriding system value"}`;
    lines.push(`${into} values ${rows.join()} on conflict do nothing`);
  }
  if (choices.chance(0.2)) {
    lines.push(
      `create trigger note after insert or update or delete on ${full} for each row execute function play.note()`,
    );
  }
  if (choices.chance(0.15)) {
    lines.push(
      `create trigger shout before insert or update on ${full} for each row execute function play.shout()`,
    );
  }
  const granted = columns.filter(({ isGranted }) => isGranted).map((column) => column.name);
  lines.push(
    granted.length === columns.length
      ? `grant select on ${full} to ${everybody}`
      : `grant select (id, ${granted.join()}) on ${full} to ${everybody}`,
    ...(table.verbs.length > 0 ? [`grant ${table.verbs.join()} on ${full} to ${everybody}`] : []),
    `alter table ${full} enable row level security`,
    `analyze ${full}`,
  );
  return lines;
}
