import { BehalfError } from "@behalf/core";

import { checkOnline } from "./check-online.ts";
import { compose } from "./compose.ts";
import { configJsonSchema } from "./config-known-keys.ts";
import { loadConfig, type Config } from "./config-load.ts";
import type { ConfigProblem } from "./config-problem.ts";
import type { Environment } from "./config-text.ts";
import type { Output } from "./run.ts";

export function printSchema(output: Output): number {
  output.out(JSON.stringify(configJsonSchema(), null, 2));
  return 0;
}

/** Loads a file and asks what it names, or prints what is wrong. */
export async function checkedConfig(
  path: string,
  offline: boolean,
  env: Environment,
  output: Output,
): Promise<Config | undefined> {
  const loaded = loadConfig(path, env);
  if ("failure" in loaded) {
    output.error(loaded.failure);
    return undefined;
  }
  const { config, print } = loaded;
  const problems = [...(await partsProblems(config))];
  if (problems.length === 0 && !offline) problems.push(...(await checkOnline(config)));
  if (problems.length === 0) return config;
  output.error(print(problems));
  return undefined;
}

export async function checkConfig(
  path: string,
  offline: boolean,
  env: Environment,
  output: Output,
): Promise<number> {
  const config = await checkedConfig(path, offline, env, output);
  if (config === undefined) return 1;
  output.out(
    offline
      ? `${path}: well formed; nobody was asked`
      : `${path}: the issuers and the database agree`,
  );
  return 0;
}

/** What only the parts themselves know to be wrong. Where that stands is told by the part that says it. */
async function partsProblems(config: Config): Promise<readonly ConfigProblem[]> {
  try {
    await (await compose(config, () => {})).close({ drainMs: 0 });
    return [];
  } catch (error) {
    if (!BehalfError.isInstance(error)) throw error;
    const message = error.message.replace(/^\[[a-z]+\] /, "");
    const section = error.message.startsWith("[gateway]")
      ? "server"
      : error.message.startsWith("[postgres]")
        ? "database"
        : "identity";
    return [{ path: [section], atKey: true, message: `${message}; correct it` }];
  }
}
