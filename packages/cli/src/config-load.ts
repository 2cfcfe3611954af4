import { isUtf8 } from "node:buffer";
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

import type { Secret } from "@behalf/core";

import { issuersProblems } from "./config-issuers.ts";
import { loginOf, type Login } from "./config-login.ts";
import { printProblems, type ConfigProblem } from "./config-problem.ts";
import type { ConfigFile } from "./config-schema.ts";
import { errorCode, secretReader } from "./config-secret.ts";
import { configShape } from "./config-shape.ts";
import { configText, type Environment } from "./config-text.ts";
import { toolProblems } from "./config-tools.ts";
import { isLoopback } from "./loopback.ts";

/** A configuration that says everything that is needed; whether it works is another question. */
export interface Config {
  readonly file: ConfigFile;
  readonly clientSecret: Secret;
  readonly sandbox: Login;
  readonly statements: Login | undefined;
  /** Absolute. */
  readonly recordsPath: string;
}

export type Loaded =
  | { readonly config: Config; readonly print: (problems: readonly ConfigProblem[]) => string }
  /** What to print: every problem with its file, line and column. */
  | { readonly failure: string };

/** Reads a configuration file. What is wrong with it is all said at once. */
export function loadConfig(path: string, env: Environment): Loaded {
  const read = readConfig(path, env);
  if ("failure" in read) return read;
  const { file, print } = read;
  const problems: ConfigProblem[] = [];
  const config = configOf(file, resolve(dirname(path)), env, problems);
  return problems.length > 0 ? { failure: print(problems) } : { config, print };
}

/** Where a gateway writes its records: for whoever may read its file and has none of its secrets. */
export function recordsPathOf(
  path: string,
  env: Environment,
): { readonly path: string } | { readonly failure: string } {
  const read = readConfig(path, env);
  return "failure" in read ? read : { path: resolve(dirname(path), read.file.records.path) };
}

type Read =
  | { readonly file: ConfigFile; readonly print: (problems: readonly ConfigProblem[]) => string }
  | { readonly failure: string };

function readConfig(path: string, env: Environment): Read {
  let bytes;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = errorCode(error);
    const what = code === "ENOENT" ? "there is no such file" : `the file cannot be read (${code})`;
    return { failure: `${path}: ${what}; name it with --config FILE` };
  }
  const text = bytes.toString("utf8");
  if (!isUtf8(bytes)) {
    const before = text.slice(0, text.indexOf("\uFFFD")).split("\n");
    const place = { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
    const message = "the file is no UTF-8 from here on; save it as UTF-8";
    return { failure: printProblems(path, [{ ...place, message }]) };
  }
  const yaml = configText(text, env);
  const print = (problems: readonly ConfigProblem[]) =>
    printProblems(
      path,
      problems.map((problem) => yaml.place(problem)),
    );
  if (yaml.problems.length > 0) return { failure: print(yaml.problems) };
  const shape = configShape(yaml.value);
  if ("problems" in shape) return { failure: print(shape.problems) };
  return { file: shape.file, print };
}

function configOf(
  file: ConfigFile,
  folder: string,
  env: Environment,
  problems: ConfigProblem[],
): Config {
  const { server, exchange, database, records } = file;
  const secrets = secretReader(folder, env);
  const clientSecret = secrets.read(exchange.clientSecret, ["exchange", "clientSecret"]);
  const sandbox = loginOf(database.sandbox, ["database", "sandbox"], secrets, problems);
  const path = ["database", "statements"];
  const statements =
    database.statements === undefined
      ? undefined
      : loginOf(database.statements, path, secrets, problems);
  if (statements !== undefined && statements.user === sandbox.user && sandbox.user !== "") {
    const message =
      "database.statements is the same login as database.sandbox; make another one, because what may run trusted statements must not run agents' own";
    problems.push({ path, atKey: true, message });
  }
  const recordsPath = resolve(folder, records.path);
  const unwritable = unwritableBecause(recordsPath);
  if (unwritable !== undefined) {
    const message = `records.path: ${unwritable}; make it writable for this user, because what is not recorded is not served`;
    problems.push({ path: ["records", "path"], message });
  }
  const host = server.host ?? "127.0.0.1";
  if (!isLoopback(host) && (server.allowedHosts ?? []).length === 0) {
    const message = `server.host: ${host} is not loopback; name the hosts that clients may call in server.allowedHosts`;
    problems.push({ path: ["server", "host"], message });
  }
  problems.push(...secrets.problems, ...issuersProblems(file), ...toolProblems(file));
  return { file, clientSecret, sandbox, statements, recordsPath };
}

/** Why records cannot be written to a file, or `undefined`. */
function unwritableBecause(path: string): string | undefined {
  const folder = dirname(path);
  try {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
      return `there is no folder ${folder}`;
    }
    const file = statSync(path, { throwIfNoEntry: false });
    if (file?.isDirectory() === true) return `${path} is a folder`;
    accessSync(file === undefined ? folder : path, constants.W_OK);
    return undefined;
  } catch (error) {
    return `${path} cannot be written (${errorCode(error)})`;
  }
}
