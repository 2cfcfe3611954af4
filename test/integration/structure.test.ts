import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";

import { postgresNames } from "@behalf/core";
import { describe, expect, it } from "vitest";

import {
  type Manifest,
  type Package,
  specifiersOf,
  structureProblems,
  type StructureRules,
} from "../support/package-structure.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Who may import whom: docs of the direction are in CONTRIBUTING.md. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@behalf/core": [],
  "@behalf/postgres": ["@behalf/core"],
  "@behalf/conformance": ["@behalf/core"],
  "@behalf/policy": ["@behalf/core"],
  "@behalf/local": [],
  "@behalf/gateway": ["@behalf/core"],
  behalf: ["@behalf/core", "@behalf/gateway", "@behalf/postgres"],
};

const RULES: StructureRules = {
  mayImport: {
    ...PACKAGES,
    // Examples show how everything is put together.
    "@behalf/example-tour": Object.keys(PACKAGES),
    "@behalf/example-tool-author": Object.keys(PACKAGES),
    "@behalf/example-key-value-adapter": Object.keys(PACKAGES),
    "@behalf/example-notes-adapter": Object.keys(PACKAGES),
    "@behalf/docker-keysync": ["@behalf/postgres"],
    // The issuer of the compose file is the one for development.
    "@behalf/docker-openid": ["@behalf/local"],
  },
  injected: { "@behalf/postgres": { pg: "src/pg-structure.ts" } },
};

/** `await using` is compiled away; what it is often used with is not. By V8's releases since 12.4. */
const NEWER_THAN_NODE_22 =
  /\b(Async)?DisposableStack\b|\bSuppressedError\b|\b(RegExp\.escape|Error\.isError|Promise\.try|Iterator\.concat|Math\.sumPrecise)\b|\bFloat16Array\b|\.(toBase64|toHex)\(/;

/** Whose texts reach statement mode: query builders, and files that only the operator can write. */
const VOUCHES_FOR_TEXTS: readonly string[] = [
  "packages/core/src/trusted-text.ts",
  "packages/gateway/src/declared-tool.ts",
  "packages/postgres/src/builder-input.ts",
];

const folders = (
  await Promise.all(
    ["packages", "examples", "docker"].map(async (parent) =>
      (await readdir(join(root, parent))).map((folder) => `${parent}/${folder}`),
    ),
  )
)
  .flat()
  .filter((folder) => existsSync(join(root, folder, "package.json")));

describe.each(folders)("%s", async (folder) => {
  const read = await readPackage(join(root, folder));

  it("imports what it may, declares what it imports, and has its public names listed by tests", () => {
    expect(structureProblems(read, RULES)).toEqual([]);
  });

  it("has no default export, no enum, and no any", () => {
    for (const [path, text] of Object.entries(read.files)) {
      if (/\.test(-d)?\.ts$/.test(path)) continue;
      expect(text, path).not.toMatch(
        /^export default\b|^(export )?(const )?enum\b|\bas any\b|: any\b/m,
      );
    }
  });

  it("uses no global that the oldest Node of its `engines` does not have", () => {
    const published = Object.entries(read.files).filter(
      ([path]) =>
        folder.startsWith("packages/") && path.startsWith("src/") && !/\.test(-d)?\.ts$/.test(path),
    );
    for (const [path, text] of published) {
      const code = text.replaceAll(/^ *(\*|\/\*\*|\/\/).*$/gm, "");
      expect(code, path).not.toMatch(NEWER_THAN_NODE_22);
    }
  });
});

it("finds every package, and the rules see what they are to see", async () => {
  expect(folders).toEqual(expect.arrayContaining(["packages/core", "docker/openid"]));
  expect(folders.length).toBeGreaterThanOrEqual(9);
  const { files: sources } = await readPackage(join(root, "packages", "postgres"));
  expect(specifiersOf(sources["src/kysely.ts"] ?? "")).toContain("kysely");
});

describe("a package against the rules is named:", () => {
  const structure = "src/pg-structure.ts";
  const good: Package = {
    manifest: {
      name: "@behalf/postgres",
      exports: { ".": "./src/index.ts", "./kysely": "./src/kysely.ts" },
      dependencies: { "@behalf/core": "1" },
      peerDependencies: { pg: "8", kysely: "1" },
    },
    files: {
      [structure]: "",
      "src/index.ts": 'export { postgres } from "./adapter.ts";',
      "src/kysely.ts": 'import { sql } from "@behalf/core";\nimport type { Kysely } from "kysely";',
      "src/index.test.ts":
        'import * as all from "./index.ts";\nimport * as builder from "./kysely.ts";\nexpect(Object.keys(all).toSorted()).toEqual([]);\nexpect(Object.keys(builder).toSorted()).toEqual([]);',
    },
  };
  const problemsOf = (manifest: Partial<Manifest>, sources: Package["files"] = {}) =>
    structureProblems(
      { manifest: { ...good.manifest, ...manifest }, files: { ...good.files, ...sources } },
      RULES,
    );
  const core = { "@behalf/core": "1" };
  const peers = { pg: "8", kysely: "1" };

  it("none of the right one, the control", () => {
    expect(problemsOf({})).toEqual([]);
  });

  const local = "imports @behalf/local, which @behalf/postgres may not";
  it.each([
    ["for a value", 'import { startPostgres } from "@behalf/local";'],
    ["for a type", 'import type {\n  Running,\n} from "@behalf/local";'],
    ["for its effect", 'import "@behalf/local/register";'],
    ["onwards", 'export * from "@behalf/local";'],
    ["when it is asked to", 'const { a } = await import("@behalf/local");'],
    ["in a type", 'let a: import("@behalf/local").Running;'],
    ["as of old", 'const local = createRequire(import.meta.url)("x") ?? require("@behalf/local");'],
    ["by its address", 'const at = import.meta.resolve("@behalf/local");'],
  ])("imports the local package %s", (_, text) => {
    expect(problemsOf({}, { "src/a.ts": text })).toContain(`src/a.ts ${local}`);
  });

  it.each(["dependencies", "peerDependencies", "optionalDependencies"] as const)(
    "has the local package among its %s",
    (kind) => {
      const names = { ...good.manifest[kind], "@behalf/local": "1" };
      expect(problemsOf({ [kind]: names })).toContain(
        `${kind} names @behalf/local, which @behalf/postgres may not import`,
      );
    },
  );

  it.each([
    ["another adapter's package", "@behalf/snowflake"],
    ["the package that composes it", "behalf"],
    ["an example", "@behalf/example-tour"],
  ])("imports %s", (_, name) => {
    expect(problemsOf({}, { "src/a.ts": `import { a } from "${name}";` })).toContain(
      `src/a.ts imports ${name}, which @behalf/postgres may not`,
    );
  });

  it("reaches into another package by a path", () => {
    const there = "../../core/src/errors.ts";
    expect(problemsOf({}, { "src/deep/a.ts": `import { a } from "../index.ts";` })).toEqual([]);
    expect(problemsOf({}, { "src/a.ts": `import { a } from "${there}";` })).toEqual([
      `src/a.ts reaches into another package by its path: ${there}`,
    ]);
  });

  it("is in no table", () => {
    expect(problemsOf({ name: "@behalf/new" })).toEqual([
      "@behalf/new stands in no table of who may import whom",
    ]);
  });

  it("imports a driver that it does not declare, or only for its own development", () => {
    const { pg } = peers;
    const manifest = { peerDependencies: { pg }, devDependencies: { kysely: "1" } };
    expect(problemsOf(manifest)).toEqual([
      "src/kysely.ts imports kysely, which is neither a dependency nor a peer",
    ]);
  });

  it("declares what it neither imports nor is handed", () => {
    expect(problemsOf({ peerDependencies: { ...peers, mysql: "1" } })).toEqual([
      "nothing imports the peer mysql, and no file says by which structure it comes",
    ]);
    expect(problemsOf({ dependencies: { ...core, zod: "1" } })).toEqual([
      "nothing imports the dependency zod",
    ]);
    const { [structure]: _, ...others } = good.files;
    expect(structureProblems({ ...good, files: others }, RULES)).toEqual([
      "nothing imports the peer pg, and no file says by which structure it comes",
    ]);
  });

  it("is handed what it does not declare, or imports it all the same", () => {
    const { kysely } = peers;
    expect(problemsOf({ peerDependencies: { kysely } })).toEqual([
      "pg is injected, and not a peer",
    ]);
    expect(problemsOf({}, { "src/a.ts": 'import pg from "pg";' })).toEqual([
      "pg is imported, so it is not injected",
    ]);
  });

  it("has an entry whose names no test lists", () => {
    const missing = "no test lists the names of the entry ./kysely (src/kysely.ts)";
    const half = good.files["src/index.test.ts"]?.split("\n").slice(0, 3).join("\n") ?? "";
    expect(problemsOf({}, { "src/index.test.ts": half })).toEqual([missing]);
    // Imported, and the names of the other entry listed twice.
    const twice = `${half}\nexpect(Object.keys(all).toSorted()).toEqual([]);`;
    expect(problemsOf({}, { "src/index.test.ts": twice })).toEqual([missing]);
    const unlisted =
      good.files["src/index.test.ts"]?.replaceAll(".toEqual([]", ".toBeDefined(") ?? "";
    expect(problemsOf({}, { "src/index.test.ts": unlisted })).toHaveLength(2);
    expect(problemsOf({ exports: { ...good.manifest.exports, "./new": "./src/new.ts" } })).toEqual([
      "no test lists the names of the entry ./new (src/new.ts)",
    ]);
  });

  it("has an entry that is not published", () => {
    expect(problemsOf({ publishConfig: { exports: { ".": {} } } })).toEqual([
      "the entry ./kysely is not published",
    ]);
  });

  it("an example, where it imports what it does not declare", () => {
    const manifest = { name: "@behalf/example-tour", private: true, dependencies: core };
    const sources = { "src/a.ts": 'import "@behalf/core";', "src/b.ts": 'import "@behalf/local";' };
    expect(structureProblems({ manifest, files: sources }, RULES)).toEqual([
      "src/b.ts imports @behalf/local, which is neither a dependency nor a peer",
    ]);
  });
});

it("lets only these vouch for a text that was put together at run time", async () => {
  const found: string[] = [];
  for (const folder of ["packages", "examples"]) {
    for (const file of await files(join(root, folder))) {
      if (!file.endsWith(".ts") || /\.test(-d)?\.ts$/.test(file) || file.includes("/dist/"))
        continue;
      if (/from "(@behalf\/core|\.)\/trusted-text/m.test(await readFile(file, "utf8"))) {
        found.push(relative(root, file));
      }
    }
  }
  expect(found.toSorted()).toEqual(VOUCHES_FOR_TEXTS);
});

it("names in core what the kit really has", async () => {
  const kit = (
    await Promise.all(
      (await files(join(root, "packages", "postgres", "sql"))).map((file) =>
        readFile(file, "utf8"),
      ),
    )
  ).join("\n");
  const { schema, sandboxSchema, ownerRole, agentsRole, keySyncRole, sealSetting } = postgresNames;
  for (const name of Object.values(postgresNames.functions)) {
    expect(kit).toContain(`create or replace function ${schema}.${name}(`);
  }
  for (const role of [ownerRole, agentsRole, keySyncRole]) {
    expect(kit).toContain(`'${role}'`);
  }
  expect(kit).toContain(`create schema if not exists ${sandboxSchema} `);
  expect(kit).toContain(`set_config('${sealSetting}'`);
  expect(kit).toContain(`'${postgresNames.applicationNamePrefix}'`);
});

it("pins the PostgreSQL image in one place", async () => {
  const found: string[] = [];
  for (const folder of ["docker", "test", "scripts", ".ci"]) {
    for (const file of await files(join(root, folder))) {
      if (/\bpostgres:\d/.test(await readFile(file, "utf8"))) found.push(relative(root, file));
    }
  }
  expect(found).toEqual([join("docker", "postgres", "Dockerfile")]);
});

async function readPackage(folder: string): Promise<Package> {
  const manifest = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as Manifest;
  const paths = (await files(folder)).filter(
    (path) => /\.[cm]?[jt]s$/.test(path) && !/\/(dist|test-support)\//.test(relative(root, path)),
  );
  const read = await Promise.all(
    paths.map(async (path) => {
      const name = relative(folder, path).split(sep).join("/");
      return [name, await readFile(path, "utf8")] as const;
    }),
  );
  return { manifest, files: Object.fromEntries(read) };
}

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("node_modules"))
    .map((entry) => join(entry.parentPath, entry.name));
}
