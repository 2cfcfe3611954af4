import { predicate, type Query, readable } from "./reads.ts";
import type { Random } from "./random.ts";
import { type Column, keyValue, type Schema, type Table } from "./schema.ts";
import { literal } from "./values.ts";

function value(random: Random, column: Column): string {
  if (column.type.values.length === 0 || random.chance(0.1)) return "null";
  return `${literal(random.pick(column.type.values))}::${column.type.sql}`;
}

/** Values that a policy about the writer's own rows lets pass often enough. */
function row(random: Random, columns: readonly Column[], human: string, org: string): string {
  return columns
    .map((column) => {
      if (column.name === "owner" && random.chance(0.7)) return literal(human);
      if (column.name === "org" && random.chance(0.7)) return literal(org);
      if (column.name === "secret" && random.chance(0.7)) return "false";
      return value(random, column);
    })
    .join();
}

const returning = (random: Random, table: Table): string => {
  const names = readable(table).map(({ name }) => name);
  return random.pick([
    "",
    "",
    " returning id",
    ` returning id, ${random.pick(names)}, id`,
    ` returning ${names.join()}`,
    " returning level, secret as level, owner || '!'",
  ]);
};

/** A text that writes. */
export function writeQuery(
  random: Random,
  { tables }: Schema,
  { name: human, org }: { readonly name: string; readonly org: string },
): Query {
  const targets = tables.filter(({ isView }) => !isView);
  const table = random.pick(targets);
  const other = random.pick(tables);
  const columns = table.columns.filter(({ isWritable }) => isWritable);
  const names = columns.map(({ name }) => name).join();
  const isGenerated = table.key.sql === "int";
  const fresh = () => `${literal(keyValue(table, 500 + random.int(50)))}::${table.key.sql}`;
  const used = () => `${literal(keyValue(table, 1 + random.int(20)))}::${table.key.sql}`;
  const insert = (id: string | null) =>
    id === null
      ? `insert into ${table.name} (${names})`
      : `insert into ${table.name} (id, ${names})${isGenerated && !table.isPartitioned ? " overriding system value" : ""}`;
  const settable = columns.filter(({ name }) => name !== "parent");
  const set = random
    .some(settable, 1, 3)
    .map((column) => `${column.name} = ${random.chance(0.2) ? "default" : value(random, column)}`)
    .join();
  const forms: (() => string)[] = [
    () =>
      isGenerated
        ? `${insert(null)} values (${row(random, columns, human, org)}), (${row(random, columns, human, org)})`
        : `${insert("id")} values (${fresh()}, ${row(random, columns, human, org)})`,
    () =>
      `${insert("id")} values (${random.chance(0.5) ? fresh() : used()}, ${row(random, columns, human, org)})`,
    () =>
      `${insert("id")} values (${used()}, ${row(random, columns, human, org)}) on conflict (id) do update set level = excluded.level, team = 'upserted'`,
    () =>
      `${insert("id")} values (${used()}, ${row(random, columns, human, org)}) on conflict do nothing`,
    () =>
      `${insert("id")} select ${fresh()}, ${row(random, columns, human, org)} from ${other.name} b where ${predicate(random, other, "b")} limit 1`,
    () => `update ${table.name} a set ${set} where ${predicate(random, table, "a")}`,
    () => `update ${table.name} a set level = coalesce(a.level, 0) + 1, team = upper(a.team)`,
    () => `update ${table.name} a set owner = ${literal(human)} where a.level < 3`,
    () =>
      `update ${table.name} a set level = (select count(*) from ${other.name} b where b.org = a.org)`,
    () => `delete from ${table.name} a where ${predicate(random, table, "a")}`,
    () =>
      `delete from ${table.name} a using (select max(level) as top from ${other.name}) b where a.level = b.top`,
    () =>
      `with few as (select b.level as n from ${other.name} b where b.secret is not null order by b.id limit 3) update ${table.name} a set team = 'few' from (select distinct n from few) f where a.level = f.n`,
  ];
  const text = random.pick(forms)();
  const back = returning(random, table);
  return {
    // An alias `a` makes no difference to plain names.
    text: `${text}${back}${random.pick(["", "", "", " ; ", "\n;;\n", " -- done", " /* done */ "])}`,
    isOrdered: false,
  };
}
