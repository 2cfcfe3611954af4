import { BehalfError, postgresNames } from "@behalf/core";
import { z } from "zod";

import { argumentsOf } from "./tool-arguments.ts";
import type { Tool } from "./tool.ts";

/** Most tables of one answer. */
const MAX_TABLES = 500;

/**
 * What the human's agent may read, from the catalogue. It runs like a statement of the agent: privileges
 * are those of the agent's role, so that PostgreSQL decides what is in the answer.
 */
export function describeTablesTool(): Tool {
  const input = z.object({
    table: z
      .string()
      .min(1)
      .max(260)
      .optional()
      .describe("Only this table or view: `name` or `schema.name`, as the answer spells them."),
  });
  return {
    name: "describe_tables",
    title: "Describe tables",
    description:
      "Lists the tables and views that this human may read, with their columns, types, comments, primary and foreign keys.",
    access: "read",
    input,
    async call(args, { database, delegation, signal, deadlineMs }) {
      const { table } = argumentsOf(input, args);
      const { rows, truncated } = await database.query(delegation, describeTablesSql(table), {
        maxRows: MAX_TABLES,
        signal,
        deadlineMs,
      });
      const tables = rows.map(([described]): unknown =>
        typeof described === "string" ? JSON.parse(described) : described,
      );
      if (table !== undefined && tables.length === 0 && truncated === null) {
        throw new BehalfError(
          "statement.refused",
          "there is no such table, or this human may not read it",
          { nativeCode: "42P01" },
        );
      }
      return {
        tables,
        ...(truncated === null
          ? {}
          : { truncated, hint: "There are more tables. Ask for one by its name." }),
      };
    },
  };
}

/** The text for all tables, or for those that `table` names. */
export function describeTablesSql(table?: string): string {
  const dot = table?.indexOf(".") ?? -1;
  const filter =
    table === undefined
      ? ""
      : `\n  and (c.relname = ${literal(table)}${
          dot === -1
            ? ""
            : ` or (n.nspname = ${literal(table.slice(0, dot))} and c.relname = ${literal(table.slice(dot + 1))})`
        })`;
  return `select pg_catalog.jsonb_build_object(
  'schema', n.nspname,
  'name', c.relname,
  'kind', case c.relkind when 'v' then 'view' when 'm' then 'materialized view' when 'f' then 'foreign table' else 'table' end,
  'comment', pg_catalog.obj_description(c.oid, 'pg_class'),
  'columns', (
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
      'name', a.attname,
      'type', pg_catalog.format_type(a.atttypid, a.atttypmod),
      'nullable', not a.attnotnull,
      'comment', pg_catalog.col_description(c.oid, a.attnum))) order by a.attnum)
    from pg_catalog.pg_attribute a
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      and pg_catalog.has_column_privilege(c.oid, a.attnum, 'select')),
  'primary_key', (
    select pg_catalog.jsonb_agg(a.attname order by k.place)
    from pg_catalog.pg_constraint p
      cross join lateral pg_catalog.unnest(p.conkey) with ordinality as k (attnum, place)
      join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where p.conrelid = c.oid and p.contype = 'p'),
  'foreign_keys', (
    select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
      'columns', (
        select pg_catalog.jsonb_agg(a.attname order by k.place)
        from pg_catalog.unnest(p.conkey) with ordinality as k (attnum, place)
          join pg_catalog.pg_attribute a on a.attrelid = p.conrelid and a.attnum = k.attnum),
      'references', fn.nspname || '.' || f.relname,
      'referenced_columns', (
        select pg_catalog.jsonb_agg(a.attname order by k.place)
        from pg_catalog.unnest(p.confkey) with ordinality as k (attnum, place)
          join pg_catalog.pg_attribute a on a.attrelid = p.confrelid and a.attnum = k.attnum))
      order by p.conname)
    from pg_catalog.pg_constraint p
      join pg_catalog.pg_class f on f.oid = p.confrelid
      join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
    where p.conrelid = c.oid and p.contype = 'f'
      and pg_catalog.has_any_column_privilege(f.oid, 'select')))
from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'v', 'm', 'f')
  and not c.relispartition
  and n.nspname !~ '^pg_'
  and n.nspname not in ('information_schema', '${postgresNames.schema}', '${postgresNames.sandboxSchema}')
  and pg_catalog.has_schema_privilege(n.oid, 'usage')
  and pg_catalog.has_any_column_privilege(c.oid, 'select')${filter}
order by n.nspname, c.relname`;
}

/** Hexadecimal digits hold no quote and no backslash, whatever `standard_conforming_strings` says. */
function literal(text: string): string {
  const hex = Buffer.from(text, "utf8").toString("hex");
  return `pg_catalog.convert_from(pg_catalog.decode('${hex}', 'hex'), 'UTF8')`;
}
