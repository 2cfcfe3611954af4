import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { CreatedServer, GuardianMessage, GuardianRequest } from "./postgres-messages.ts";
import { removeFolder } from "./remove-folder.ts";

const SERVER_ENDS_WITHIN_MS = 10_000;

/** A share in the guardian process of this process; all servers of a process have the same one. */
export interface GuardianLease {
  request(request: GuardianRequest): Promise<CreatedServer | null>;
  /** The pid of a server that runs now. */
  serverPid(server: number): number | undefined;
  /** Gives the share back. With the last one the guardian ends, and the promise waits for that. */
  release(): Promise<void>;
}

interface Guardian extends GuardianLease {
  readonly usable: boolean;
  lease(): void;
}

let current: Guardian | undefined;

export function leaseGuardian(): GuardianLease {
  if (current === undefined || !current.usable) current = startGuardian();
  current.lease();
  return current;
}

function startGuardian(): Guardian {
  const script = guardianScript();
  const child = fork(script, [], {
    cwd: tmpdir(),
    // A session of its own: signals to this process and its terminal do not reach it.
    detached: true,
    env: guardianEnvironment(),
    execArgv: [],
    // Nothing of ours: whoever reads our output to its end would wait for the guardian as well.
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const waiting = new Map<number, PromiseWithResolvers<CreatedServer | null>>();
  const pids = new Map<number, number>();
  let folder: string | undefined;
  let requests = 0;
  let leases = 0;
  let usable = true;
  let rescued: Promise<void> | undefined;

  child.on("message", (message: GuardianMessage) => {
    if (message.kind === "folder") folder = message.path;
    else if (message.kind === "running") pids.set(message.server, message.pid);
    else if (message.kind === "stopped") pids.delete(message.server);
    else settle(message);
  });
  child.on("error", (cause) => {
    fail(
      new Error(`[@behalf/local] could not start ${process.execPath}: ${cause.message}`, { cause }),
    );
  });
  child.on("exit", (code, signal) => {
    const expected = !usable;
    fail(
      new Error(
        `[@behalf/local] the guardian of the local PostgreSQL ended with ${signal ?? code}; to see why, run: ${process.execPath} ${script}`,
      ),
    );
    if (!expected) {
      rescued = rescue([...pids.values()], folder).catch((error: unknown) => {
        process.emitWarning(error instanceof Error ? error : String(error));
      });
    }
  });

  function settle(message: Extract<GuardianMessage, { id: number }>): void {
    const promise = waiting.get(message.id);
    waiting.delete(message.id);
    hold(child, waiting.size > 0);
    if (message.kind === "answer") promise?.resolve(message.value);
    else promise?.reject(new Error(message.message));
  }

  function fail(error: Error): void {
    usable = false;
    for (const promise of waiting.values()) promise.reject(error);
    waiting.clear();
  }

  return {
    get usable() {
      return usable;
    },
    lease: () => {
      leases += 1;
    },
    request: (request) => {
      if (!usable || !child.connected) {
        return Promise.reject(
          new Error("[@behalf/local] the local PostgreSQL is gone: its guardian process has ended"),
        );
      }
      const id = ++requests;
      const promise = Promise.withResolvers<CreatedServer | null>();
      waiting.set(id, promise);
      hold(child, true);
      child.send({ id, request });
      return promise.promise;
    },
    serverPid: (server) => pids.get(server),
    release: async () => {
      leases -= 1;
      await rescued;
      if (leases > 0 || !usable) return;
      usable = false;
      child.ref();
      const gone = once(child, "exit");
      if (child.connected) child.disconnect();
      await gone;
    },
  };
}

/** The event loop waits for an answer that is due, and for nothing else of the guardian. */
function hold(child: ChildProcess, wanted: boolean): void {
  if (wanted) {
    child.ref();
    child.channel?.ref();
  } else {
    child.unref();
    child.channel?.unref();
  }
}

/** Does the guardian's duty for one that was killed, so that its servers do not outlive it. */
async function rescue(pids: readonly number[], folder: string | undefined): Promise<void> {
  for (const pid of pids) {
    const deadline = Date.now() + SERVER_ENDS_WITHIN_MS;
    let signal: NodeJS.Signals | 0 = "SIGQUIT";
    while (sendSignal(pid, signal) && Date.now() < deadline) {
      signal = 0;
      await sleep(20);
    }
    sendSignal(pid, "SIGKILL");
  }
  if (folder !== undefined) await removeFolder(folder);
}

function sendSignal(pid: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}

// The sources run with their types stripped, the published package runs compiled; a path in
// `new URL` is not rewritten by the compiler.
function guardianScript(): string {
  const source = fileURLToPath(new URL("./postgres-guardian.ts", import.meta.url));
  return import.meta.url.endsWith(".ts") ? source : source.replace(/\.ts$/, ".js");
}

// --inspect, --require and coverage are meant for the process that carries them.
function guardianEnvironment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _options, NODE_V8_COVERAGE: _coverage, ...rest } = process.env;
  return rest;
}
