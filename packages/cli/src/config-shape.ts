import type { z } from "zod";

import { knownKeys, nearest } from "./config-known-keys.ts";
import { pathText, type ConfigProblem } from "./config-problem.ts";
import { SECRETS } from "./config-text.ts";
import { configSchema, type ConfigFile } from "./config-schema.ts";

/** The file's values in their types, or what keeps them from it. */
export function configShape(
  value: unknown,
): { readonly file: ConfigFile } | { readonly problems: readonly ConfigProblem[] } {
  const parsed = configSchema.safeParse(value);
  if (parsed.success) return { file: parsed.data };
  return { problems: parsed.error.issues.flatMap((issue) => problemsOf(issue, value)) };
}

/** zod's issues hold no input unless it is asked to report it: no secret can be in here. */
function problemsOf(issue: z.core.$ZodIssue, root: unknown): ConfigProblem[] {
  const { path } = issue;
  const where = path.length === 0 ? "the file" : pathText(path);
  if (issue.code === "unrecognized_keys") {
    const known = knownKeys(path);
    return issue.keys.map((key) => {
      const meant = nearest(key, known);
      const advice =
        meant === undefined ? `known are ${known.join(", ")}` : `did you mean ${meant}?`;
      const place = path.length === 0 ? "" : ` in ${where}`;
      return {
        path: [...path, key],
        atKey: true,
        message: `there is no ${key}${place}; ${advice}`,
      };
    });
  }
  if (valueAt(root, path) === undefined) {
    return [{ path, message: `${where} is missing; add it` }];
  }
  if (issue.code === "invalid_union") {
    // The alternative that got furthest says more than that none fits.
    const inner = issue.errors
      .flat()
      .find(({ code, path: inside }) => code === "unrecognized_keys" || inside.length > 0);
    // What stands in place of a secret is not repeated, not even as a key.
    if (inner !== undefined && !SECRETS.has(path.at(-1))) {
      return problemsOf({ ...inner, path: [...path, ...inner.path] }, root);
    }
  }
  if (issue.code === "invalid_type" && issue.expected === "object") {
    const known = knownKeys(path);
    return [{ path, message: `${where} must be a group of keys; known are ${known.join(", ")}` }];
  }
  const advice = issue.message.includes(";") ? "" : "; correct it";
  return [{ path, message: `${where} ${issue.message}${advice}` }];
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null) return undefined;
    value = Object.getOwnPropertyDescriptor(value, part)?.value;
  }
  return value;
}
