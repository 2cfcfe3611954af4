import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect, it } from "vitest";

import { knownKeys } from "./config-known-keys.ts";
import { loadConfig } from "./config-load.ts";

const page = readFileSync(new URL("../../../docs/gateway.md", import.meta.url), "utf8");

it("reads the configuration of docs/gateway.md", () => {
  const folder = mkdtempSync(join(tmpdir(), "behalf-docs-"));
  try {
    const path = join(folder, "behalf.yaml");
    writeFileSync(path, /```yaml\n(.*?)```/s.exec(page)?.[1] ?? "");
    const env = { GATEWAY_SECRET: "a", SANDBOX_PASSWORD: "b", STATEMENTS_PASSWORD: "c" };
    const loaded = loadConfig(path, env);
    expect(loaded).not.toHaveProperty("failure");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

it("documents every key", () => {
  const words = new Set(page.match(/\w+/g));
  const keys = knownKeys([]).flatMap((section) => [section, ...knownKeys([section])]);
  expect(keys.filter((key) => !words.has(key))).toEqual([]);
});
