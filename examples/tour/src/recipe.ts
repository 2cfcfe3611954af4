import type pg from "pg";
import type { Person } from "./people.ts";

/**
 * The usual recipe for row level security behind a pool: the verified claims into a transaction-local
 * setting, the role by SET LOCAL, then the statement. What PostgREST and Supabase do ("transaction-scoped
 * settings"), what Drizzle's and many other guides show. Here in its careful form: claims as a bound
 * value, a READ ONLY transaction as PostgREST uses for GET, a login that owns nothing.
 *
 * The recipe is sound for statements that the application wrote. An agent's text has to go over the simple
 * protocol as it is, because nobody knows it beforehand; that is the difference this tour is about.
 */
export async function askByRecipe(
  pool: pg.Pool,
  person: Person,
  agentsText: string,
): Promise<{ [column: string]: unknown }[]> {
  const client = await pool.connect();
  try {
    await client.query("begin read only");
    const claims = { sub: person.subject, role: "app_agent", ...person.claims };
    await client.query("select set_config('request.jwt.claims', $1, true)", [
      JSON.stringify(claims),
    ]);
    await client.query("set local role app_agent");
    // pg gives a list of results where the text held several statements.
    const results = [await client.query<{ [column: string]: unknown }>(agentsText)].flat();
    await client.query("commit");
    return results.flatMap(({ rows }) => rows);
  } catch (error) {
    await client.query("rollback");
    throw error;
  } finally {
    client.release();
  }
}
