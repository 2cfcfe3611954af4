import { readFileSync } from "node:fs";
import { resolve } from "node:path";

import { Secret } from "@behalf/core";

import { pathText, type ConfigProblem } from "./config-problem.ts";
import { variable, type Environment } from "./config-text.ts";
import { ENV, type SecretSource } from "./config-values.ts";

const REMEDY = "write the secret into it, readable for this user alone";

/** Reads secrets from where the file says that they are, and collects what is missing. */
export interface SecretReader {
  read(source: SecretSource, path: readonly PropertyKey[]): Secret;
  /** @param remedy what to do where the file cannot be read or holds nothing */
  file(name: string, path: readonly PropertyKey[], remedy: string): Secret;
  readonly problems: readonly ConfigProblem[];
}

/** @param folder what relative paths start from: that of the configuration file */
export function secretReader(folder: string, env: Environment): SecretReader {
  const problems: ConfigProblem[] = [];

  function valueOf(name: string, path: readonly PropertyKey[]): string {
    const value = variable(env, name) ?? "";
    if (value === "") {
      const message = `${pathText(path)}: ${name} is not set; set it in the environment`;
      problems.push({ path, message });
    }
    return value;
  }

  function content(file: string, path: readonly PropertyKey[], remedy: string): string {
    let value = "";
    let why = "is empty";
    try {
      value = readFileSync(resolve(folder, file), "utf8").replace(/\r?\n$/, "");
    } catch (error) {
      why = `cannot be read (${errorCode(error)})`;
    }
    if (value === "") {
      const message = `${pathText(path)}: ${file} ${why}; ${remedy}`;
      problems.push({ path, message });
    }
    return value;
  }

  return {
    problems,
    file: (name, path, remedy) => new Secret(content(name, path, remedy)),
    read(source, path) {
      if (typeof source === "string") {
        // Within a URL a password is written with %, and nobody keeps it so in a variable.
        return new Secret(
          source.replaceAll(ENV, (all, name: string) => {
            const value = valueOf(name, path);
            return all === source ? value : encodeURIComponent(value);
          }),
        );
      }
      return new Secret(
        "env" in source ? valueOf(source.env, path) : content(source.file, path, REMEDY),
      );
    },
  };
}

/** `ENOENT`, `ECONNREFUSED`, `28P01`: what a system or a server calls an error. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string"
    ? error.code
    : "unknown";
}
