import pg from "pg";

/** A connection that the caller ends. */
export async function connected(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  // A connection that breaks while idle would otherwise be an uncaught exception.
  client.on("error", () => {});
  await client.connect();
  return client;
}
