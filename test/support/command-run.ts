import { spawn, type ChildProcess } from "node:child_process";

/** A run of a real command. */
export interface CommandRun {
  readonly process: ChildProcess;
  readonly out: () => string;
  readonly error: () => string;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>;
  /** Waits for a line. Fails when the command ends before it. */
  printed(pattern: RegExp): Promise<RegExpExecArray>;
}

/** Runs a command with nothing but these variables, and PATH, in its environment. */
export function runCommand(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  owner: { readonly uid?: number; readonly gid?: number } = {},
): CommandRun {
  const child = spawn(command, args, {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
    ...owner,
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
  const ended = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once("error", reject);
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
        if (isOver) throw new Error(`${command} ended without printing ${pattern}: ${out}${error}`);
        await changed.promise;
      }
    },
  };
}
