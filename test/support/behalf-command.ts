import { spawn, type ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));

/** A run of the real command. */
export interface BehalfRun {
  readonly process: ChildProcess;
  readonly out: () => string;
  readonly error: () => string;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Waits for a line. Fails when the command ends before it. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Runs `behalf` with nothing but these variables in its environment. */
export function behalf(args: readonly string[], env: Readonly<Record<string, string>>): BehalfRun {
  const child = spawn(process.execPath, [MAIN, ...args], {
    env: { ...env, PATH: process.env["PATH"] ?? "" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let out = "";
  let error = "";
  let changed = Promise.withResolvers<void>();
  const wake = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    out += text;
    wake();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => (error += text));
  let isOver = false;
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once("close", (code, signal) => {
      isOver = true;
      resolve(code ?? signal);
      wake();
    });
  });
  return {
    process: child,
    out: () => out,
    error: () => error,
    ended,
    async printed(pattern) {
      for (;;) {
        const found = pattern.exec(out);
        if (found !== null) return found;
        if (isOver) throw new Error(`behalf ended without printing ${pattern}: ${out}${error}`);
        await changed.promise;
      }
    },
  };
}
