// Packs every package as it would be published and looks into the tarball: what `exports` names is there,
// no test is, and the compiled code loads on plain Node without type stripping.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  mkdirSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { publint } from "publint";
import { formatMessage } from "publint/utils";

import { outerEnvironment } from "./outer-environment.mjs";

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly exports: Record<string, string | Record<string, string>>;
  readonly dependencies?: Record<string, string>;
  readonly license?: string;
  readonly version: string;
  readonly bin?: Readonly<Record<string, string>>;
}

const PNPM = /const PNPM = "(.+)";/.exec(
  readFileSync(new URL("./bootstrap.mjs", import.meta.url), "utf8"),
)?.[1] as string;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const work = mkdtempSync(join(tmpdir(), "behalf-packages-"));
let problems = 0;

try {
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-b"], { cwd: root, stdio: "inherit" });
  const names = readdirSync(join(root, "packages"));
  for (const name of names) pack(name);
  for (const name of names) await check(name);
} finally {
  rmSync(work, { recursive: true, force: true });
}
console.log(problems === 0 ? "packages: no problem" : `packages: ${problems} problems`);
process.exitCode = problems === 0 ? 0 : 1;

/** Unpacks the tarball where an installer would put it, with the dependencies of the workspace beside it. */
function pack(name: string): void {
  const source = join(root, "packages", name);
  execFileSync("npx", ["--yes", PNPM, "pack", "--pack-destination", work], {
    cwd: source,
    stdio: ["ignore", "ignore", "inherit"],
    timeout: 120_000,
    env: outerEnvironment(),
  });
  const manifest = read(source);
  const target = join(work, "node_modules", manifest.name);
  mkdirSync(target, { recursive: true });
  const tarball = `${manifest.name.replace("@", "").replace("/", "-")}-${manifest.version}.tgz`;
  execFileSync("tar", ["-xzf", join(work, tarball), "-C", target, "--strip-components=1"]);
  for (const dependency of Object.keys(manifest.dependencies ?? {})) {
    const link = join(work, "node_modules", dependency);
    if (dependency.startsWith("@behalf/") || existsSync(link)) continue;
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(source, "node_modules", dependency), link);
  }
}

async function check(name: string): Promise<void> {
  const folder = join(work, "node_modules", read(join(root, "packages", name)).name);
  const manifest = read(folder);
  const complain = (text: string) => {
    problems += 1;
    console.error(`${manifest.name}: ${text}`);
  };
  const files = readdirSync(folder, { recursive: true }).map(String);
  for (const target of Object.values(manifest.exports)) {
    for (const path of typeof target === "string" ? [target] : Object.values(target)) {
      if (!existsSync(join(folder, path)))
        complain(`exports names ${path}, which is not in the tarball`);
    }
  }
  for (const file of files) {
    if (/\.test(-d)?\./.test(file)) complain(`${file} is a test and should not be published`);
    if (file.endsWith(".tsbuildinfo")) complain(`${file} should not be published`);
  }
  for (const needed of ["README.md", "LICENSE"]) {
    if (!files.includes(needed)) complain(`${needed} is missing`);
  }
  if (name === "postgres" && !files.includes("sql/install.sql"))
    complain("sql/install.sql is missing");
  for (const [dependency, range] of Object.entries(manifest.dependencies ?? {})) {
    if (/^(workspace|catalog):/.test(range)) complain(`${dependency} is still ${range}`);
  }
  const { messages } = await publint({ pkgDir: folder, strict: true });
  for (const message of messages)
    complain(formatMessage(message, manifest as never) ?? message.code);
  const run = (args: readonly string[]) =>
    execFileSync(process.execPath, args, {
      cwd: work,
      stdio: "pipe",
      encoding: "utf8",
      env: { ...process.env, NODE_OPTIONS: "--no-strip-types" },
    });
  try {
    if ("." in manifest.exports) {
      run(["--input-type=module", "--eval", `await import(${JSON.stringify(manifest.name)})`]);
    }
    for (const command of Object.values(manifest.bin ?? {})) {
      const said = run([join(folder, command), "--version"]).trim();
      if (said !== manifest.version) complain(`${command} says that it is ${said}`);
    }
  } catch (error) {
    complain(`does not load: ${String((error as { stderr?: unknown }).stderr)}`);
  }
  console.log(`${manifest.name}: ${files.length} files`);
}

function read(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Manifest;
}
