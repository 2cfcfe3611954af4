import { delimiter } from "node:path";

/** What says how to reach a registry; everything else of npm's own variables would be read as configuration. */
const KEPT = /^npm_config_(registry|ca|cafile|strict_ssl|proxy|https_proxy|noproxy)$/i;

/**
 * The environment for a nested npx. Inside an npm script the first `node` on the PATH is the one of
 * node_modules, whose npm has another global configuration and other certificate authorities than the
 * machine's: behind a company's registry it then waits for ever. The nested npx gets the machine's own.
 */
export function outerEnvironment() {
  const entries = Object.entries(process.env).filter(
    ([name]) => !/^npm_/i.test(name) || KEPT.test(name),
  );
  const env = Object.fromEntries(entries);
  const path = (env.PATH ?? "").split(delimiter);
  env.PATH = path
    .filter((folder) => !/[\\/]node_modules[\\/]\.bin[\\/]?$/.test(folder))
    .join(delimiter);
  return env;
}
