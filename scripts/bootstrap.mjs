// Sets a fresh clone up: pnpm, pinned and run through npx, installs the workspace from the lockfile,
// and with it the Node that the scripts of package.json then find first on their PATH.
// It must run on the oldest Node a contributor has (20): plain JavaScript without a dependency.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { outerEnvironment } from "./outer-environment.mjs";

const PNPM = "pnpm@12.21.0";
const NODE_MAJOR = 24;
/** An install takes 10 to 60 s; a lock that is older than this was left by a process that died. */
const LOCK_STALE_MS = 15 * 60_000;

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stampFile = join(root, "node_modules", ".bootstrap");
const lockDir = join(root, "node_modules", ".bootstrap-lock");
const stamp = fingerprint(["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"]);

if (read(stampFile) !== stamp) {
  // `npm start` and `npm test` begun at once in one fresh clone must not install over each other.
  lock();
  try {
    if (read(stampFile) !== stamp) install();
  } finally {
    rmSync(lockDir, { recursive: true, force: true });
  }
}

function install() {
  const started = Date.now();
  console.log("setting up (once, about half a minute) ...");
  run("npx", [
    "--yes",
    PNPM,
    "install",
    "--frozen-lockfile",
    "--reporter=append-only",
    "--loglevel=warn",
  ]);
  const node = nodeVersion();
  if (Number(node.slice(1).split(".")[0]) < NODE_MAJOR) {
    fail(
      `Node ${NODE_MAJOR} or newer is needed, and npm has none for ${process.platform}-${process.arch}; ` +
        `found ${node}. Install it from your usual source and try again.`,
    );
  }
  writeFileSync(stampFile, stamp);
  console.log(`ready: ${PNPM}, Node ${node}, ${((Date.now() - started) / 1000).toFixed(1)} s`);
}

function lock() {
  try {
    mkdirSync(dirname(lockDir), { recursive: true });
  } catch (error) {
    fail(
      `this folder cannot be written to (${error.code}); set-up needs to make node_modules in it`,
    );
  }
  const owner = join(lockDir, "owner");
  for (let waited = 0; ; waited += 200) {
    try {
      mkdirSync(lockDir);
      writeFileSync(owner, `${process.pid} ${Date.now()}`);
      for (const [signal, code] of [
        ["SIGINT", 130],
        ["SIGTERM", 143],
      ]) {
        process.once(signal, () => {
          rmSync(lockDir, { recursive: true, force: true });
          process.exit(code);
        });
      }
      return;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const [pid, since] = read(owner).split(" ").map(Number);
    if (pid && (!alive(pid) || Date.now() - since > LOCK_STALE_MS)) {
      rmSync(lockDir, { recursive: true, force: true });
      continue;
    }
    // A lock without an owner is one whose maker died between two system calls.
    if (!pid && waited > 5000) rmSync(lockDir, { recursive: true, force: true });
    if (waited === 0) console.log("another set-up is under way in this folder; waiting for it");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200);
  }
}

function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

/** The Node that npm scripts will use from now on: node_modules/.bin comes first on their PATH. */
function nodeVersion() {
  const local = join(root, "node_modules", ".bin", "node");
  const { stdout } = spawnSync(existsSync(local) ? local : "node", ["--version"], {
    encoding: "utf8",
  });
  return stdout?.trim() || "none";
}

function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, {
    cwd: root,
    env: outerEnvironment(),
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (status !== 0) {
    rmSync(lockDir, { recursive: true, force: true });
    if (signal) fail(`interrupted by ${signal}; run the command again`);
    fail(`${command} ${args.join(" ")} failed: ${error?.message ?? `exit ${status}`}`);
  }
}

function fingerprint(files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(join(root, file)));
  return hash.digest("hex");
}

function read(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

function fail(message) {
  console.error(`bootstrap: ${message}`);
  process.exit(1);
}
