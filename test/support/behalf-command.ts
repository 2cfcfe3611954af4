import { fileURLToPath } from "node:url";

import { runCommand, type CommandRun } from "./command-run.ts";

const MAIN = fileURLToPath(new URL("../../packages/cli/src/main.ts", import.meta.url));

/** A run of the real command. */
export type BehalfRun = CommandRun;

/** Runs `behalf` with nothing but these variables in its environment. */
export function behalf(args: readonly string[], env: Readonly<Record<string, string>>): BehalfRun {
  return runCommand(process.execPath, [MAIN, ...args], env);
}
