import { parseArgs } from "node:util";

import type { CallsCommand } from "./command-calls.ts";

/** What was asked for. */
export type Command =
  | { readonly name: "serve"; readonly config: string }
  | { readonly name: "config check"; readonly config: string; readonly offline: boolean }
  | { readonly name: "config schema" }
  | ({ readonly name: "calls" } & CallsCommand)
  | { readonly name: "help" }
  | { readonly name: "version" }
  /** One line that says what is wrong. */
  | { readonly name: "wrong"; readonly reason: string };

const FLAGS: Readonly<Record<string, readonly string[]>> = {
  serve: ["config"],
  "config check": ["config", "offline"],
  "config schema": [],
  calls: ["running", "config", "records", "url", "json"],
};

/** Reads the arguments behind `behalf`. */
export function commandLine(args: readonly string[]): Command {
  let parsed;
  try {
    parsed = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        config: { type: "string" },
        offline: { type: "boolean" },
        running: { type: "boolean" },
        records: { type: "string", multiple: true },
        url: { type: "string" },
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
        version: { type: "boolean" },
      },
    });
  } catch (error) {
    const reason = error instanceof Error ? (error.message.split(/[.\n]/)[0] ?? "") : "";
    return { name: "wrong", reason };
  }
  const { values, positionals } = parsed;
  if (values.help === true || (positionals[0] === "help" && positionals.length === 1)) {
    return { name: "help" };
  }
  if (values.version === true) return { name: "version" };
  const name = positionals.join(" ");
  const flags = FLAGS[name];
  if (name === "") return { name: "wrong", reason: "no command was given" };
  if (flags === undefined) return { name: "wrong", reason: `there is no command ${name}` };
  const extra = Object.keys(values).find((flag) => !flags.includes(flag));
  if (extra !== undefined) return { name: "wrong", reason: `${name} takes no --${extra}` };
  if (name === "config schema") return { name };
  if (name === "calls") {
    if (values.running !== true) return { name: "wrong", reason: "calls needs --running" };
    if (values.config === undefined && values.records === undefined) {
      return { name: "wrong", reason: "calls needs --records FILE or --config FILE" };
    }
    const { config, records = [], url, json = false } = values;
    return { name, config, records, url, json };
  }
  if (values.config === undefined) return { name: "wrong", reason: `${name} needs --config FILE` };
  if (name === "config check") {
    return { name, config: values.config, offline: values.offline === true };
  }
  return { name: "serve", config: values.config };
}
