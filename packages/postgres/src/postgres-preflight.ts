import { BehalfError } from "@behalf/core";

import type { Connection } from "./postgres-connection.ts";
import { isServerError } from "./postgres-errors.ts";

/** The version of the in-database kit that this adapter speaks to. */
export const KIT_VERSION = 3;

/** Asks what stands in the way of a safe call; its parameter is {@link KIT_VERSION}. */
export const PREFLIGHT = "select problem from behalf.preflight($1::pg_catalog.int4)";

/** SQLSTATEs that say: there is no kit here, or not for this login. */
const NO_KIT: ReadonlySet<string> = new Set(["3F000", "42883", "42501"]);

/**
 * What became of the question: an error that says so where the kit is missing, else the one that came.
 *
 * @param remedy stands at the end of the message
 */
export function preflightFailure(error: unknown, remedy: string): unknown {
  if (!isServerError(error) || !NO_KIT.has(error.code)) return error;
  return new BehalfError(
    "configuration",
    `[postgres] the in-database kit is not installed here, or this login was not made a gateway${remedy}`,
    { backend: "postgres", nativeCode: error.code },
  );
}

/**
 * Asks the database whether anything stands in the way of a safe call: the login's rights, agent roles
 * that can do too much, tables without row level security or guard, missing keys.
 *
 * @throws BehalfError `configuration` with every problem and its remedy
 */
export async function preflight(connection: Connection): Promise<void> {
  let problems: readonly (string | null)[];
  try {
    const [result] = await connection.send([
      {
        name: "behalf_preflight",
        text: PREFLIGHT,
        values: [String(KIT_VERSION)],
      },
    ]);
    problems = (result?.rows ?? []).map(([problem]) => problem ?? "");
  } catch (error) {
    throw preflightFailure(
      error,
      "; run installKit() or sql/install.sql as a superuser, then select behalf.add_gateway('<login>')",
    );
  }
  connection.cleaned();
  if (problems.length > 0) {
    throw new BehalfError(
      "configuration",
      `[postgres] the database is not ready for agents:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`,
      { backend: "postgres", reason: "preflight" },
    );
  }
}
