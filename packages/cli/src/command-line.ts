import { parseArgs } from "node:util";

/** What was asked for. */
export type Command =
  | { readonly name: "serve"; readonly config: string }
  | { readonly name: "config check"; readonly config: string; readonly offline: boolean }
  | { readonly name: "config schema" }
  | { readonly name: "help" }
  | { readonly name: "version" }
  /** One line that says what is wrong. */
  | { readonly name: "wrong"; readonly reason: string };

const FLAGS: Readonly<Record<string, readonly string[]>> = {
  serve: ["config"],
  "config check": ["config", "offline"],
  "config schema": [],
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
  if (values.config === undefined) return { name: "wrong", reason: `${name} needs --config FILE` };
  if (name === "config check") {
    return { name, config: values.config, offline: values.offline === true };
  }
  return { name: "serve", config: values.config };
}
