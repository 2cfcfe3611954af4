import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chownSync, closeSync, mkdirSync, openSync, readFileSync, rmSync } from "node:fs";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "./free-port.ts";
import { advice, logTail, readLog } from "./postgres-log.ts";
import type { ServerOwner, StopMode } from "./postgres-messages.ts";
import { removeFolder } from "./remove-folder.ts";
import { settingsFile } from "./postgres-settings.ts";
import { copyPrimary, type Primary } from "./postgres-standby.ts";

const READY_WITHIN_MS = 60_000;
const STOP_WITHIN_MS = 15_000;
const RETRY_WITHIN_MS = 10_000;

/** One data directory and the server that runs on it, inside the guardian process. */
export interface Cluster {
  readonly dataDirectory: string;
  readonly port: number;
  /** Makes the data directory. */
  initialise(): Promise<void>;
  /** Runs the server and waits until it accepts connections; does nothing if it runs. */
  start(): Promise<void>;
  stop(mode: StopMode): Promise<void>;
  /** Ends whatever runs and removes the folder. */
  remove(): Promise<void>;
}

export interface ClusterOptions {
  readonly binaries: string;
  readonly folder: string;
  readonly password: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly owner: ServerOwner | undefined;
  /** Whom it follows, if it is a standby. */
  readonly primary?: Primary;
  readonly onRunning: (pid: number) => void;
  readonly onStopped: () => void;
}

export function createCluster(options: ClusterOptions): Cluster {
  const { binaries, folder, owner } = options;
  const dataDirectory = join(folder, "data");
  // Beside the folder, which belongs to the owner: root must not open a file that another made.
  const logFile = `${folder}.log`;
  let port = 0;
  let initdb: ChildProcess | undefined;
  let server: ChildProcess | undefined;
  let removed = false;

  function run(program: string, args: readonly string[]): ChildProcess {
    if (removed)
      throw new Error("[@behalf/local] the local PostgreSQL was stopped while it started");
    const log = openSync(logFile, "a");
    try {
      const child = spawn(join(binaries, "bin", program), args, {
        ...owner,
        cwd: folder,
        // A group of its own, so that initdb can be killed together with its helpers.
        detached: true,
        env: environment(folder),
        stdio: ["ignore", log, log],
      });
      // Without a listener a failed spawn would be an uncaught exception; `exit` follows or not, so
      // the waits below look at both.
      child.on("error", () => {});
      return child;
    } finally {
      closeSync(log);
    }
  }

  async function initialise(): Promise<void> {
    mkdirSync(folder, { mode: 0o700 });
    if (options.primary !== undefined) {
      if (owner !== undefined) chownSync(folder, owner.uid, owner.gid);
      await copyPrimary({ ...options, primary: options.primary, dataDirectory });
      return;
    }
    const passwordFile = join(folder, "password");
    await writeFile(passwordFile, options.password, { mode: 0o600 });
    if (owner !== undefined) {
      for (const path of [folder, passwordFile]) chownSync(path, owner.uid, owner.gid);
    }
    initdb = run("initdb", [
      `--pgdata=${dataDirectory}`,
      "--username=postgres",
      `--pwfile=${passwordFile}`,
      "--auth=scram-sha-256",
      "--encoding=UTF8",
      "--locale=C",
      "--no-sync",
      "--no-instructions",
    ]);
    const outcome = await ended(initdb);
    initdb = undefined;
    rmSync(passwordFile, { force: true });
    if (outcome !== 0) throw failure(`initdb ended with ${outcome}`);
    await appendFile(join(dataDirectory, "postgresql.conf"), `\n${settingsFile(options.settings)}`);
  }

  async function start(): Promise<void> {
    if (server !== undefined) return;
    const restart = port !== 0;
    const deadline = Date.now() + RETRY_WITHIN_MS;
    for (;;) {
      if (!restart) port = await freePort();
      const logBefore = readLog(logFile).length;
      if (await reachesReady()) return;
      const log = readLog(logFile).slice(logBefore);
      // A restart keeps its port, and the backends of a server that was killed take a moment to go.
      const temporary =
        log.includes("Address already in use") || log.includes("pre-existing shared memory block");
      if (!temporary || Date.now() > deadline) throw failure("the server did not start");
      await sleep(restart ? 200 : 0);
    }
  }

  async function reachesReady(): Promise<boolean> {
    const child = run("postgres", ["-D", dataDirectory, "-p", String(port)]);
    const pid = child.pid;
    if (pid === undefined) return false;
    server = child;
    options.onRunning(pid);
    void ended(child).then(() => {
      if (server === child) server = undefined;
      options.onStopped();
    });
    const deadline = Date.now() + READY_WITHIN_MS;
    for (;;) {
      if (server !== child) return false;
      if (isReady(dataDirectory, pid)) return true;
      if (Date.now() > deadline) {
        await stop("immediate");
        throw failure(`the server was not ready after ${READY_WITHIN_MS / 1000} s`);
      }
      await sleep(10);
    }
  }

  async function stop(mode: StopMode): Promise<void> {
    const child = server;
    if (child === undefined) return;
    child.kill(mode === "fast" ? "SIGINT" : "SIGQUIT");
    if (await endsWithin(child, STOP_WITHIN_MS)) return;
    child.kill("SIGQUIT");
    if (await endsWithin(child, STOP_WITHIN_MS)) return;
    child.kill("SIGKILL");
    await ended(child);
  }

  async function remove(): Promise<void> {
    removed = true;
    if (initdb !== undefined) {
      killGroup(initdb);
      await ended(initdb);
    }
    // Nothing of the data is kept, so there is no checkpoint to wait for.
    await stop("immediate");
    for (const path of [folder, logFile]) await removeFolder(path);
  }

  function failure(what: string): Error {
    const tail = logTail(logFile);
    return new Error(
      [`[@behalf/local] PostgreSQL: ${what}.`, advice(tail), "The end of its log:", tail]
        .filter((line) => line !== "")
        .join("\n"),
    );
  }

  return {
    dataDirectory,
    get port() {
      return port;
    },
    initialise,
    start,
    stop,
    remove,
  };
}

// PG* would change defaults of the server (PGPORT, PGDATA, PGOPTIONS), the locale its messages.
function environment(home: string): NodeJS.ProcessEnv {
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(PG|LC_|LANG|NODE_|TZ$)/.test(name),
  );
  return { ...Object.fromEntries(inherited), HOME: home, LC_ALL: "C", TZ: "UTC" };
}

/** What pg_ctl waits for: the eighth line of postmaster.pid, written by the server of this pid. */
function isReady(dataDirectory: string, pid: number): boolean {
  try {
    const lines = readFileSync(join(dataDirectory, "postmaster.pid"), "utf8").split("\n");
    return lines[0] === String(pid) && lines[7]?.trim() === "ready";
  } catch {
    return false;
  }
}

async function ended(child: ChildProcess): Promise<number | string> {
  if (child.pid === undefined) return "no process";
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode ?? child.signalCode ?? "no exit code";
}

async function endsWithin(child: ChildProcess, milliseconds: number): Promise<boolean> {
  const stop = new AbortController();
  const waited = sleep(milliseconds, false, { signal: stop.signal }).catch(() => false);
  const result = await Promise.race([ended(child).then(() => true), waited]);
  stop.abort();
  return result;
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL");
  } catch {
    // Gone already.
  }
}
