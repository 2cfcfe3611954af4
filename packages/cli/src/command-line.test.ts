import { readFile } from "node:fs/promises";

import { describe, expect, it } from "vitest";

import { commandLine } from "./command-line.ts";
import { run } from "./run.ts";
import { VERSION } from "./version.ts";

async function outcome(...args: string[]) {
  const out: string[] = [];
  const errors: string[] = [];
  const code = await run(
    args,
    {},
    {
      out: (text) => out.push(text),
      error: (text) => errors.push(text),
    },
  );
  return { code, out: out.join("\n"), error: errors.join("\n") };
}

describe("the command line", () => {
  it.each([
    [[], "no command was given"],
    [["serv"], "there is no command serv"],
    [["config"], "there is no command config"],
    [["config", "check", "more"], "there is no command config check more"],
    [["serve"], "serve needs --config FILE"],
    [["serve", "--config"], "Option '--config <value>' argument missing"],
    [["serve", "--config", "x", "--offline"], "serve takes no --offline"],
    [["config", "schema", "--config", "x"], "config schema takes no --config"],
    [["calls"], "calls needs --running"],
    [["calls", "--running"], "calls needs --records FILE or --config FILE"],
    [["calls", "--running", "--records", "x", "--offline"], "calls takes no --offline"],
    [["calls", "--running", "--watch"], "Unknown option '--watch'"],
    [["serve", "--config", "x", "--json"], "serve takes no --json"],
    [["serve", "--port", "1"], "Unknown option '--port'"],
  ])("%j is wrong", async (args, reason) => {
    expect(commandLine(args)).toEqual({ name: "wrong", reason });
    const { code, out, error } = await outcome(...args);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(error.split("\n").slice(0, 3)).toEqual([
      `behalf: ${reason}`,
      "",
      "usage: behalf COMMAND",
    ]);
  });

  it("helps, and tells its version", async () => {
    const manifest = await readFile(new URL("../package.json", import.meta.url), "utf8");
    expect(JSON.parse(manifest)).toMatchObject({ version: VERSION });
    expect(await outcome("--version")).toEqual({ code: 0, out: VERSION, error: "" });
    for (const args of [["--help"], ["-h"], ["help"], ["serve", "--help"]]) {
      const { code, out } = await outcome(...args);
      expect(code).toBe(0);
      expect(out).toContain("usage: behalf COMMAND");
    }
  });

  it("prints a schema that editors can use, with a description for every key", async () => {
    const { code, out } = await outcome("config", "schema");
    expect(code).toBe(0);
    const schema = JSON.parse(out) as { properties: { server: { properties: object } } };
    expect(schema).toMatchObject({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      additionalProperties: false,
    });
    for (const key of Object.values(schema.properties.server.properties)) {
      expect(key).toHaveProperty("description");
    }
  });
});
