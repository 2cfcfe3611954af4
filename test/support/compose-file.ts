import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { parse } from "yaml";

export const dockerFolder: string = fileURLToPath(new URL("../../docker/", import.meta.url));

/** What the tests read of a compose file. */
export interface ComposeFile {
  readonly services: Readonly<Record<string, ComposeService>>;
  readonly networks: Readonly<Record<string, { readonly internal?: boolean } | null>>;
  readonly volumes: Readonly<Record<string, unknown>>;
  readonly secrets: Readonly<Record<string, { readonly file: string }>>;
}

export interface ComposeService {
  readonly build: { readonly context: string; readonly dockerfile: string };
  readonly environment?: Readonly<Record<string, string>>;
  readonly secrets?: readonly string[];
  readonly volumes?: readonly string[];
  readonly ports?: readonly string[];
  readonly networks?: readonly string[];
  readonly network_mode?: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>;
  readonly healthcheck?: unknown;
  readonly entrypoint?: readonly string[];
}

/**
 * compose.yaml as Compose reads it with these variables.
 *
 * @throws Error with the file's own message for a variable that has no default and is not set
 */
export function composeFile(env: Readonly<Record<string, string>>): ComposeFile {
  const text = readFileSync(`${dockerFolder}compose.yaml`, "utf8");
  // Comments aside: Compose replaces variables in values alone.
  const replaced = text
    .replaceAll(/^\s*#.*$/gm, "")
    .replaceAll(/\$\{(\w+)(?::([-?])([^}]*))?\}/g, (_all, name: string, kind, rest: string) => {
      const value = env[name] ?? "";
      if (value !== "") return value;
      if (kind === "-") return rest;
      throw new Error(`required variable ${name} is missing a value: ${rest}`);
    });
  // To a container every value is a text.
  const reviver = (key: unknown, value: unknown) =>
    key === "environment" && typeof value === "object" && value !== null
      ? Object.fromEntries(Object.entries(value).map(([name, given]) => [name, String(given)]))
      : value;
  return parse(replaced, reviver, { merge: true }) as ComposeFile;
}
