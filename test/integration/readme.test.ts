import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { readRecords } from "@behalf/core";
import { expect, inject, it } from "vitest";

import { makeWorld } from "../support/world.ts";

const root = new URL("../../", import.meta.url);

it("runs the README's example for gateway authors", async () => {
  const example = await readFile(new URL("test/support/readme-example.ts", root), "utf8");
  expect(await readFile(new URL("README.md", root), "utf8")).toContain(
    `\`\`\`ts\n${example}\`\`\``,
  );

  await using world = await makeWorld({ url: inject("postgresUrl") });
  const folder = await mkdtemp(join(tmpdir(), "behalf-readme-"));
  try {
    Object.assign(process.env, {
      DATABASE_URL: world.url(),
      GATEWAY_SECRET: "gateway-secret-for-tests",
      ISSUER: world.idp.issuer,
      RECORDS: join(folder, "calls.jsonl"),
    });
    const { query } = await import("../support/readme-example.ts");
    const question = "select distinct org_id from orders";
    expect((await query(await world.token("alice"), question)).rows).toEqual([["acme"]]);
    expect((await query(await world.token("bob"), question)).rows).toEqual([["globex"]]);
    const records = await Array.fromAsync(readRecords(join(folder, "calls.jsonl")));
    expect(records.map(({ kind }) => kind)).toEqual(["decision", "outcome", "decision", "outcome"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});
