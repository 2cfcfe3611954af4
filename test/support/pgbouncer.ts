import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { runCommand, type CommandRun } from "./command-run.ts";
import { dockerFolder } from "./compose-file.ts";
import { until } from "./failure.ts";

/** PgBouncer and the embedded PostgreSQL refuse root, and run under this account then. */
const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

/** The account that a pooler runs under. */
export const poolerAccount: { readonly uid?: number; readonly gid?: number } = isRoot
  ? { uid: NOBODY, gid: NOBODY }
  : {};

export function giveToPooler(path: string): void {
  if (isRoot) chownSync(path, NOBODY, NOBODY);
}

/** Debian's pgbouncer lies where only root's PATH leads. */
export const pgbouncerPath: string | undefined = [
  ...(process.env["PATH"] ?? "").split(":"),
  "/usr/sbin",
]
  .map((folder) => join(folder, "pgbouncer"))
  .find((path) => existsSync(path));

export interface Pgbouncer extends AsyncDisposable {
  readonly host: "127.0.0.1";
  readonly port: number;
}

/** A PgBouncer in transaction mode with the settings of docker/pgbouncer, before any server and database. */
export async function startPgbouncer(options: {
  readonly server: { readonly host: string; readonly port: number };
  readonly database: string;
  readonly logins: readonly { readonly user: string; readonly password: string }[];
  /** Connections to the server, for each login. */
  readonly poolSize: number;
}): Promise<Pgbouncer> {
  const { server, database, logins, poolSize } = options;
  if (pgbouncerPath === undefined) throw new Error("there is no pgbouncer command");
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "behalf-pgbouncer-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  chmodSync(folder, 0o700);
  const port = await freePort();
  const values: Readonly<Record<string, string>> = {
    DATABASE_HOST: server.host,
    DATABASE_PORT: String(server.port),
    LISTEN_HOST: "127.0.0.1",
    LISTEN_PORT: String(port),
    POOL_SIZE: String(poolSize),
    FOLDER: folder,
  };
  const template = readFileSync(join(dockerFolder, "pgbouncer/pgbouncer.ini"), "utf8");
  const settings = template
    .replaceAll(/@([A-Z_]+)@/g, (_, name: string) => values[name] ?? "")
    .replace(/^shop = (.*)dbname=shop$/m, `${database} = $1dbname=${database}`);
  const file = join(folder, "pgbouncer.ini");
  writeFileSync(file, settings, { mode: 0o600 });
  const users = join(folder, "userlist.txt");
  const lines = logins.map(({ user, password }) => `"${user}" "${password}"\n`);
  writeFileSync(users, lines.join(""), { mode: 0o600 });
  for (const path of [folder, file, users]) giveToPooler(path);
  const run = runCommand(pgbouncerPath, [file], {}, poolerAccount);
  stack.defer(() => stopCommand(run));
  await until(() => answersAt(port));
  const disposal = stack.move();
  return {
    host: "127.0.0.1",
    port,
    [Symbol.asyncDispose]: () => disposal.disposeAsync(),
  };
}

export async function stopCommand(run: CommandRun): Promise<void> {
  run.process.kill("SIGTERM");
  const timer = setTimeout(() => run.process.kill("SIGKILL"), 15_000);
  await run.ended;
  clearTimeout(timer);
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  return typeof address === "object" && address !== null ? address.port : 0;
}

export function answersAt(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
