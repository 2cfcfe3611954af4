import type pg from "pg";

/** What the server changes by itself: statistics, and the age of rows. */
const RESTLESS =
  "array['relpages', 'reltuples', 'relallvisible', 'relallfrozen', 'relfrozenxid', 'relminmxid', 'datfrozenxid', 'datminmxid']";

/** Every row of every catalogue of the database and of the server, with the numbers that the server gave. */
export async function wholeCatalogue(client: pg.Client): Promise<readonly string[]> {
  const { rows: tables } = await client.query<{ name: string }>(`
    select relname as name from pg_class
    where relnamespace = 'pg_catalog'::regnamespace and relkind = 'r'
      and relname !~ '^pg_(statistic$|statistic_ext_data|subscription_rel|replication_origin)'
    order by 1`);
  const each = tables.map(
    ({ name }) =>
      `select '${name} ' || (to_jsonb(t) - ${RESTLESS})::text as line from pg_catalog.${name} t`,
  );
  const { rows } = await client.query<{ line: string }>(`${each.join(" union all ")} order by 1`);
  return rows.map(({ line }) => line);
}
