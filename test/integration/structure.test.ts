import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

import { postgresNames } from "@behalf/core";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Manifest {
  readonly name: string;
  readonly private?: boolean;
  readonly dependencies?: Record<string, string>;
  readonly peerDependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
}

/** Who may import whom: docs of the direction are in CONTRIBUTING.md. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  "@behalf/core": [],
  "@behalf/postgres": ["@behalf/core"],
  "@behalf/conformance": ["@behalf/core"],
  "@behalf/policy": ["@behalf/core"],
  "@behalf/local": [],
  "@behalf/gateway": ["@behalf/core"],
  behalf: ["@behalf/core", "@behalf/gateway", "@behalf/postgres"],
};

/** Whose texts reach statement mode: query builders, and files that only the operator can write. */
const VOUCHES_FOR_TEXTS: readonly string[] = [
  "packages/core/src/trusted-text.ts",
  "packages/gateway/src/declared-tool.ts",
  "packages/postgres/src/builder-input.ts",
];

const packages = await readdir(join(root, "packages"));

describe.each(packages)("packages/%s", async (folder) => {
  const manifest = JSON.parse(
    await readFile(join(root, "packages", folder, "package.json"), "utf8"),
  ) as Manifest;
  const sources = (await files(join(root, "packages", folder, "src"))).filter(
    (file) => !/\.test(-d)?\.ts$/.test(file),
  );
  const imported = new Set<string>();
  for (const file of sources) {
    // Examples in comments import what their reader has.
    const text = (await readFile(file, "utf8")).replaceAll(/^ *\*.*$/gm, "");
    for (const [, specifier] of text.matchAll(/(?:from|import\(|^import)\s*"([^"]+)"/gm)) {
      if (specifier !== undefined && !specifier.startsWith(".") && !specifier.startsWith("node:")) {
        imported.add(
          specifier
            .split("/")
            .slice(0, specifier.startsWith("@") ? 2 : 1)
            .join("/"),
        );
      }
    }
  }

  it("imports only packages of ours that it may", () => {
    const ours = [...imported].filter((name) => name.startsWith("@behalf/"));
    expect(ours.filter((name) => !MAY_IMPORT[manifest.name]?.includes(name))).toEqual([]);
  });

  it("declares exactly what it imports", () => {
    const declared = { ...manifest.dependencies, ...manifest.peerDependencies };
    expect([...imported].filter((name) => !(name in declared))).toEqual([]);
    // A driver is a peer that the caller injects: it need not be imported.
    expect(Object.keys(manifest.dependencies ?? {}).filter((name) => !imported.has(name))).toEqual(
      [],
    );
  });

  it("has no default export, no enum, no any, and no path into another package", async () => {
    for (const file of sources) {
      const text = await readFile(file, "utf8");
      const where = relative(root, file);
      expect(text, where).not.toMatch(
        /^export default\b|^(export )?(const )?enum\b|\bas any\b|: any\b/m,
      );
      expect(text, where).not.toMatch(/from "\.\.\/\.\.\//);
    }
  });
});

it("keeps nothing that ships dependent on the local package", async () => {
  for (const folder of packages) {
    const manifest = JSON.parse(
      await readFile(join(root, "packages", folder, "package.json"), "utf8"),
    ) as Manifest;
    expect({ ...manifest.dependencies, ...manifest.peerDependencies }).not.toHaveProperty(
      "@behalf/local",
    );
  }
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

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && !entry.parentPath.includes("node_modules"))
    .map((entry) => join(entry.parentPath, entry.name));
}
