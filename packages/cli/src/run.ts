import { calls } from "./command-calls.ts";
import { checkConfig, printSchema } from "./command-config.ts";
import { commandLine } from "./command-line.ts";
import { serve } from "./command-serve.ts";
import type { Environment } from "./config-text.ts";
import { USAGE } from "./usage.ts";
import { VERSION } from "./version.ts";

/** Where lines go. */
export interface Output {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

/**
 * The `behalf` command.
 *
 * @param args what stands behind `behalf`
 * @returns the exit code
 */
export async function run(
  args: readonly string[],
  env: Environment,
  output: Output,
): Promise<number> {
  const command = commandLine(args);
  switch (command.name) {
    case "help":
      output.out(USAGE);
      return 0;
    case "version":
      output.out(VERSION);
      return 0;
    case "wrong":
      output.error(`behalf: ${command.reason}\n\n${USAGE}`);
      return 2;
    case "config schema":
      return printSchema(output);
    case "config check":
      return checkConfig(command.config, command.offline, env, output);
    case "calls":
      return calls(command, env, output);
    default:
      return serve(command.config, env, output);
  }
}
