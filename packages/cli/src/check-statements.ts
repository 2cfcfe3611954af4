import { declaredTool, type ToolDeclaration } from "@behalf/gateway";
import pg from "pg";

import { clientConfig, type Login } from "./config-login.ts";
import type { ConfigProblem } from "./config-problem.ts";
import { statementProblem } from "./config-tools.ts";

/** How long the server may take for all statements: one may have to wait for somebody's lock. */
const TIMEOUT_MS = 5_000;

/**
 * What no role and no `search_path` could make right. Other errors may come from either: calls run as
 * another role than this login, with a path of its own.
 */
const ADVICE: ReadonlyMap<string, string> = new Map([
  ["42601", "correct the SQL"],
  ["42P02", "correct the SQL"],
  ["42P18", "give the placeholder a type, for example :name::text"],
]);

/** How the server calls a parameter. */
const NUMBERED = /\$(\d+)/;

/** Has the server parse every declared statement, and runs none. */
export async function statementsProblems(
  login: Login,
  declarations: readonly ToolDeclaration[],
): Promise<readonly ConfigProblem[]> {
  if (declarations.length === 0) return [];
  const client = new pg.Client(clientConfig(login));
  client.on("error", () => {});
  let timer: NodeJS.Timeout | undefined;
  const problems: ConfigProblem[] = [];
  try {
    await client.connect();
    timer = setTimeout(() => void client.end().catch(() => {}), TIMEOUT_MS);
    for (const [index, declaration] of declarations.entries()) {
      const { text, names, statementOffset } = declaredTool(declaration);
      // oxlint-disable-next-line no-await-in-loop -- one connection does one thing after the other
      const error = await parseError(client, text);
      const advice = ADVICE.get(error?.code ?? "");
      if (error === undefined || advice === undefined) continue;
      const what = error.message.replace(NUMBERED, (all, n) => `:${names[Number(n) - 1] ?? all}`);
      const message = `${declaration.name}: ${what} (${error.code}); ${advice}`;
      problems.push(statementProblem(index, message, statementOffset(offsetOf(error, text))));
    }
  } catch {
    // A server that cannot be asked is reported as such by who asks about the login.
  } finally {
    clearTimeout(timer);
    await client.end().catch(() => {});
  }
  return problems;
}

/** Parse without Bind or Execute: what has two statements is refused, where a text with PREPARE would run the second. */
function parseError(client: pg.Client, text: string): Promise<pg.DatabaseError | undefined> {
  return new Promise((resolve, reject) => {
    const parse = {
      submit(connection: pg.Connection) {
        connection.parse({ name: "", text, types: [] }, true);
        connection.sync();
      },
      handleError(error: Error) {
        // The driver tells nothing more of a query that failed.
        if (error instanceof pg.DatabaseError) resolve(error);
        else reject(error);
      },
      handleReadyForQuery: () => resolve(undefined),
    };
    client.query(parse);
  });
}

/** The server counts characters, from 1. What it gives no place to is about a parameter, or about the whole. */
function offsetOf({ position, message }: pg.DatabaseError, text: string): number {
  if (position === undefined) {
    return Math.max(text.indexOf(NUMBERED.exec(message)?.[0] ?? "\0"), text.search(/\S/));
  }
  const before = Array.from(text).slice(0, Number(position) - 1);
  return before.join("").length;
}
