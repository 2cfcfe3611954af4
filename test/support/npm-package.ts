import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { outerEnvironment } from "../../scripts/outer-environment.mjs";

const CACHE = fileURLToPath(new URL("../../node_modules/.cache/npm-tools/", import.meta.url));

/**
 * An npm package that is too large for everybody's install: fetched on first use, at exactly this version,
 * and kept. It is there whole or not at all, also when two runs fetch it at once or one is interrupted.
 *
 * @param scripts whether its install scripts run. Default is `false`
 * @returns the `node_modules` folder that holds it, or why it cannot be had
 */
export function npmPackage(
  name: string,
  version: string,
  { scripts = false }: { readonly scripts?: boolean } = {},
): { readonly path: string } | { readonly missing: string } {
  const folder = join(CACHE, `${name.replaceAll("/", "+")}@${version}`);
  const path = join(folder, "node_modules");
  if (existsSync(path)) return { path };
  mkdirSync(CACHE, { recursive: true });
  const fresh = mkdtempSync(`${folder}.`);
  try {
    writeFileSync(join(fresh, "package.json"), '{ "private": true }\n');
    const flags = ["--no-audit", "--no-fund", ...(scripts ? [] : ["--ignore-scripts"])];
    execFileSync("npm", ["install", ...flags, `${name}@${version}`], {
      cwd: fresh,
      stdio: "pipe",
      timeout: 300_000,
      env: outerEnvironment(),
    });
    try {
      renameSync(fresh, folder);
    } catch (error) {
      // Somebody else was faster.
      if (!existsSync(path)) throw error;
    }
  } catch (error) {
    const why = error instanceof Error ? error.message.split("\n")[0] : "unknown";
    return { missing: `${name}@${version} cannot be installed here: ${why}` };
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
  return { path };
}

/**
 * A command of such a package, without its install scripts.
 *
 * @returns the path of the command, or why it cannot be had
 */
export function npmTool(
  name: string,
  version: string,
  command: string,
): { readonly path: string } | { readonly missing: string } {
  const found = npmPackage(name, version);
  return "missing" in found ? found : { path: join(found.path, ".bin", command) };
}
