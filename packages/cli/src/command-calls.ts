import { resolve } from "node:path";

import pg from "pg";

import { callRecords } from "./call-records.ts";
import { callsText, reportedCall } from "./calls-report.ts";
import { connectMessage } from "./check-online.ts";
import { recordsPathOf } from "./config-load.ts";
import { clientConfig, loginOf, type Login } from "./config-login.ts";
import type { ConfigProblem } from "./config-problem.ts";
import { errorCode, secretReader } from "./config-secret.ts";
import { variable, type Environment } from "./config-text.ts";
import { printable, printableJson } from "./printable.ts";
import type { Output } from "./run.ts";
import { runningCalls } from "./running-calls.ts";

/** The variable that holds a DBA's URL, whose password then stands in no list of processes. */
export const MONITOR_URL = "BEHALF_MONITOR_URL";

export interface CallsCommand {
  readonly config: string | undefined;
  readonly records: readonly string[];
  readonly url: string | undefined;
  readonly json: boolean;
}

/** Says who runs what at this moment: what the server knows, joined with what the gateways recorded. */
export async function calls(
  command: CallsCommand,
  env: Environment,
  output: Output,
): Promise<number> {
  const say = (message: string) => output.error(`behalf: ${message}`);
  const login = monitorLogin(command.url, env, say);
  const paths = recordFiles(command, env, output);
  if (login === undefined || paths === undefined) return 1;

  const client = new pg.Client({
    ...clientConfig(login),
    application_name: "behalf-calls",
  });
  client.on("error", () => {});
  let activity;
  try {
    try {
      await client.connect();
    } catch (error) {
      say(connectMessage(errorCode(error), `${login.host}:${login.port}`));
      return 1;
    }
    activity = await runningCalls(client);
  } catch (error) {
    say(`the database does not say what runs (${errorCode(error)}); see its log`);
    return 1;
  } finally {
    await client.end().catch(() => {});
  }
  const { database, hasKit, seesAll, others } = activity;
  if (!hasKit) {
    say(
      `the kit is not installed in the database ${printable(database)}; name the database that the gateway uses`,
    );
    return 1;
  }
  if (activity.isGateway) {
    say(
      "this is a gateway's login, whose password is for the gateway alone; use a DBA's or a monitoring login",
    );
    return 1;
  }
  if (!seesAll) {
    say(
      "this login sees no states, times and texts of others' sessions; have a superuser grant pg_read_all_stats (or pg_monitor) to it",
    );
  }

  let isWhole = true;
  const recorded = await callRecords(
    activity.calls.map(({ callId }) => callId),
    paths,
    (message) => {
      isWhole = false;
      say(message);
    },
  );
  const reported = activity.calls.map((call) =>
    reportedCall(call, recorded.get(call.callId), activity.calls),
  );
  if (command.json) {
    output.out(printableJson({ database, seesAll, calls: reported, others }));
  } else {
    output.out(
      reported.length === 0 ? `no call is running in ${printable(database)}` : callsText(reported),
    );
    const [first] = activity.calls;
    if (first !== undefined) output.out(`\n${endText(first.pid, first.backendStart)}`);
  }
  for (const { pid, login: name } of others) {
    say(
      `pid ${pid} calls itself behalf/... and is no gateway's login (${printable(name)}): anybody can set application_name`,
    );
  }
  return isWhole || reported.length === 0 ? 0 : 1;
}

/** A process id may be another session's by the time that somebody types it; with its start it cannot. */
function endText(pid: number, backendStart: string | null): string {
  const same = backendStart === null ? "" : ` and backend_start = '${backendStart}'`;
  return `To end one, here the first (the caller gets timeout, SQLSTATE 57014; with pg_terminate_backend backend.unavailable, 57P01):
  select pg_cancel_backend(pid) from pg_stat_activity where pid = ${pid}${same};`;
}

function monitorLogin(
  given: string | undefined,
  env: Environment,
  say: (message: string) => void,
): Login | undefined {
  const name = given === undefined ? MONITOR_URL : "--url";
  const url = given ?? variable(env, MONITOR_URL) ?? "";
  if (url === "") {
    say(
      `no database was named; set ${MONITOR_URL} to the URL of a DBA's or a monitoring login, or give --url`,
    );
    return undefined;
  }
  const password = variable(env, "PGPASSWORD") ?? "";
  if (password === "" && URL.parse(url)?.password === "") {
    say(
      `${name} has no password; write postgres://user:password@host:port/database, or set PGPASSWORD`,
    );
    return undefined;
  }
  const problems: ConfigProblem[] = [];
  // As variables: a password may hold what a configuration file would replace.
  const secrets = secretReader(process.cwd(), { URL: url, PASSWORD: password });
  const file = {
    url: { env: "URL" },
    ...(password === "" ? {} : { password: { env: "PASSWORD" } }),
  };
  const login = loginOf(file, [name], secrets, problems);
  for (const { message } of [...secrets.problems, ...problems]) say(message);
  return secrets.problems.length + problems.length > 0 ? undefined : login;
}

function recordFiles(
  { config, records }: CallsCommand,
  env: Environment,
  output: Output,
): readonly string[] | undefined {
  const paths = records.map((path) => resolve(path));
  if (config === undefined) return paths;
  const found = recordsPathOf(config, env);
  if ("failure" in found) {
    output.error(found.failure);
    return undefined;
  }
  return [...paths, found.path];
}
