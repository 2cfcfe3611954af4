import { BehalfError } from "@behalf/core";
import { databaseProblems } from "@behalf/postgres";
import pg from "pg";

import { issuerProblems } from "./check-issuer.ts";
import { statementsProblems } from "./check-statements.ts";
import type { Config } from "./config-load.ts";
import { APPLICATION_NAME, clientConfig, type Login } from "./config-login.ts";
import type { ConfigProblem } from "./config-problem.ts";
import { errorCode } from "./config-secret.ts";

/** Asks the issuers and the database whether they are what the file says. */
export async function checkOnline(config: Config): Promise<readonly ConfigProblem[]> {
  const found = await Promise.all([
    issuerProblems(config.file),
    loginProblems(config.sandbox, "sandbox"),
    ...(config.statements === undefined
      ? []
      : [
          loginProblems(config.statements, "statements"),
          statementsProblems(config.statements, config.file.statementTools ?? []),
        ]),
  ]);
  return found.flat();
}

type Kind = "sandbox" | "statements";

async function loginProblems(login: Login, kind: Kind): Promise<ConfigProblem[]> {
  const path = ["database", kind];
  const client = new pg.Client(clientConfig(login));
  client.on("error", () => {});
  const where = `${login.host}:${login.port}`;
  try {
    await client.connect();
  } catch (error) {
    return [{ path, atKey: true, message: connectMessage(errorCode(error), where) }];
  }
  try {
    const problems = [...(await databaseProblems(client))];
    // Only a gateway's login can be asked which kind it is.
    if (problems.length === 0) problems.push(...(await kindProblem(client, kind)));
    return [...problems, ...(await othersProblem(client))].map((message) => ({
      path,
      atKey: true,
      message,
    }));
  } catch (error) {
    const message = BehalfError.isInstance(error)
      ? `${error.message.replace("[postgres] ", "")}; have the DBA run install.sql and select behalf.${kind === "sandbox" ? "add_gateway" : "add_statement_gateway"}(...) for this login`
      : `the database does not answer (${errorCode(error)}); see its log`;
    return [{ path, atKey: true, message }];
  } finally {
    await client.end().catch(() => {});
  }
}

/** By SQLSTATE or the system's code. The server's own text stays out: it may quote what was sent. */
export function connectMessage(code: string, where: string): string {
  switch (code) {
    case "28P01":
    case "28000":
      return `the database at ${where} refuses this login (${code}); check user, password and pg_hba.conf`;
    case "3D000":
      return `there is no such database at ${where}; check its name`;
    case "42501":
      return `this login may not connect to the database at ${where}; grant connect`;
    case "53300":
      return `the database at ${where} has no connection left; lower maxConnections or raise its own`;
    default:
      return `the database at ${where} cannot be reached (${code}); check host, port and ssl, and that it runs`;
  }
}

/** The two kinds of login may execute different functions, and neither can do the other's work. */
async function kindProblem(client: pg.Client, kind: Kind): Promise<readonly string[]> {
  const { rows } = await client.query<{ sandbox: boolean; statements: boolean }>(
    `select pg_catalog.has_function_privilege('behalf.open(text)', 'execute') as sandbox,
       pg_catalog.has_function_privilege('behalf.statement()', 'execute') as statements`,
  );
  if (rows[0]?.[kind] === true) return [];
  const right = kind === "sandbox" ? "behalf.add_gateway" : "behalf.add_statement_gateway";
  return [`this login was made for the other kind of statements; name one that ${right} made`];
}

/**
 * Sessions of this login that are not ours. Whoever else uses it can leave settings behind or be taken
 * for the gateway, and nobody could tell which.
 */
async function othersProblem(client: pg.Client): Promise<readonly string[]> {
  // A pooler's own connections have no name until it lends them for the first time. That there is one shows in
  // the number that it gives its clients, which is no process of the server's.
  const processID = "processID" in client ? client.processID : undefined;
  const { rows } = await client.query<{ name: string; sessions: number }>(
    `select application_name as name, count(*)::int as sessions
     from pg_catalog.pg_stat_activity
     where usename = current_user and pid <> pg_catalog.pg_backend_pid()
       and backend_type = 'client backend'
       and application_name <> $1 and application_name not like 'behalf/%'
       and (application_name <> '' or $2::int4 = pg_catalog.pg_backend_pid())
     group by 1 order by 2 desc, 1 limit 3`,
    [APPLICATION_NAME, typeof processID === "number" ? processID : null],
  );
  if (rows.length === 0) return [];
  const names = rows.map(({ name }) => (name === "" ? "(no application_name)" : name.slice(0, 64)));
  return [
    `the login is used by somebody else, too: ${names.join(", ")}; give the gateway a login of its own`,
  ];
}
