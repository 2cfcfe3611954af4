import { type ChildProcess, spawn } from "node:child_process";
import { createConnection, createServer } from "node:net";

/** What an answer has to hold: the ids of this human's rows, and nothing but them. */
export type RowsOf = (result: unknown) => readonly { readonly [column: string]: unknown }[];

/** A server in a process of its own that answers MCP `tools/call`. */
export interface Contestant {
  readonly name: string;
  readonly url: string;
  readonly pid: number;
  /** The headers of a call for this human. */
  headers(human: string): { readonly [name: string]: string };
  /** The tool, and the arguments that ask for this human's rows. */
  call(human: string): { readonly name: string; readonly arguments: object };
  readonly rowsOf: RowsOf;
  stop(): Promise<void>;
}

export interface Started {
  readonly pid: number;
  readonly child: ChildProcess;
  stop(): Promise<void>;
}

/**
 * Starts a program in a process group of its own, so that one signal ends what it started as well: a
 * peer's launcher is not the server.
 */
export function startProcess(
  file: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Started {
  const child = spawn(file, args, {
    detached: true,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${file} did not start`);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on("data", (chunk: Buffer) => {
      said = `${said}${chunk.toString()}`.slice(-2_000);
    });
  }
  let stopping = false;
  const gone = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      if (!stopping) console.error(`${file} ended by itself (${code ?? signal}):\n${said}`);
      resolve();
    });
  });
  const kill = () => {
    try {
      process.kill(-pid, "SIGKILL");
    } catch {
      // It is gone.
    }
  };
  process.once("exit", kill);
  // In a group of its own it does not hear the terminal's Ctrl-C.
  process.once("SIGINT", leave);
  process.once("SIGTERM", leave);
  return {
    pid,
    child,
    async stop() {
      stopping = true;
      kill();
      await gone;
      process.removeListener("exit", kill);
      process.removeListener("SIGINT", leave);
      process.removeListener("SIGTERM", leave);
    },
  };
}

function leave(): void {
  process.exit(130);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => {
    server.once("listening", resolve);
  });
  const address = server.address();
  await new Promise((resolve) => {
    server.close(resolve);
  });
  if (address === null || typeof address === "string") throw new Error("there is no free port");
  return address.port;
}

/** Waits until somebody listens. */
export async function listening(port: number, started: Started): Promise<void> {
  const end = performance.now() + 30_000;
  for (;;) {
    const answers = await new Promise<boolean>((resolve) => {
      const socket = createConnection({ port, host: "127.0.0.1" });
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
      socket.once("connect", () => socket.destroy());
    });
    if (answers) return;
    if (performance.now() > end || started.child.exitCode !== null) {
      throw new Error(`nothing listens on port ${port}`);
    }
    await new Promise((resolve) => {
      setTimeout(resolve, 50);
    });
  }
}
