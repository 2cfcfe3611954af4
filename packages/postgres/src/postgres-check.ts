import { KIT_VERSION, PREFLIGHT, preflightFailure } from "./postgres-preflight.ts";

/** A connection of the gateway's login, by structure: a `pg.Client`. */
export interface CheckClient {
  query(
    text: string,
    values: readonly unknown[],
  ): Promise<{ readonly rows: readonly Readonly<Record<string, unknown>>[] }>;
}

/**
 * What stands in the way of a safe call in this database, each with its remedy; nothing when it is ready.
 * The adapter asks the same before its first call: this is for whoever wants to know before there is one.
 *
 * @throws BehalfError `configuration` when there is no kit here, or not for this login; or what the driver threw
 * @example
 * ```ts
 * for (const problem of await databaseProblems(client)) console.error(problem);
 * ```
 */
export async function databaseProblems(client: CheckClient): Promise<readonly string[]> {
  try {
    const { rows } = await client.query(PREFLIGHT, [KIT_VERSION]);
    return rows.map(({ problem }) => String(problem));
  } catch (error) {
    // How to mend it is for the caller to say, who knows which kind of login this is.
    throw preflightFailure(error, "");
  }
}
