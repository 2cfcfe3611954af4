import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { outerEnvironment } from "../../scripts/outer-environment.mjs";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/npm-tools/", import.meta.url));

/**
 * A command of an npm package that is too large for everybody's install: fetched on first use, at exactly
 * this version, without its install scripts, and kept.
 *
 * @returns the path of the command, or why it cannot be had
 */
export function npmTool(
  name: string,
  version: string,
  command: string,
): { readonly path: string } | { readonly missing: string } {
  const folder = join(CACHE, `${name.replaceAll("/", "+")}@${version}`);
  const path = join(folder, "node_modules", ".bin", command);
  if (!existsSync(path)) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
    try {
      execFileSync(
        "npm",
        ["install", "--ignore-scripts", "--no-audit", "--no-fund", `${name}@${version}`],
        { cwd: folder, stdio: "pipe", timeout: 120_000, env: outerEnvironment() },
      );
    } catch (error) {
      const why = error instanceof Error ? error.message.split("\n")[0] : "unknown";
      return { missing: `${name}@${version} cannot be installed here: ${why}` };
    }
  }
  return { path };
}
