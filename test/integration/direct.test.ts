import { randomInt } from "node:crypto";

import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";

import { BY_DESIGN } from "../direct/by-design.ts";
import { MUTANTS } from "../direct/mutants.ts";
import { directly, throughBehalf } from "../direct/outcome.ts";
import found from "../direct/seeds.json" with { type: "json" };
import { directSetup, type Setup } from "../direct/setup.ts";
import { compareWorld, compareWorlds, emptyTally } from "../direct/worlds.ts";
import { problems } from "../support/kit-world.ts";

const WORLDS = Number(process.env["BEHALF_WORLDS"] || 300);

it(`shows and changes the same as a login of the human's own, in ${WORLDS} worlds`, async () => {
  const seed = Number(process.env["BEHALF_SEED"] || randomInt(2 ** 31));
  console.log(`direct: ${WORLDS} worlds from seed ${seed}: npm run direct -- --seed ${seed}`);
  const seeds = Array.from({ length: WORLDS }, (_, index) => seed + index);
  const small = { reads: 2, bound: 1, writes: 0 };
  const tally = await compareWorlds(inject("postgresUrl"), [...found, ...seeds], small);
  expect(tally.differences).toEqual([]);
  expect(tally).toMatchObject({
    worlds: WORLDS + found.length,
    comparisons: (WORLDS + found.length) * 14,
  });
  // It compares something: rows more often than refusals, and both.
  expect(tally.withRows).toBeGreaterThan(tally.texts / 3);
  expect(tally.refused).toBeGreaterThan(tally.texts / 20);
  expect(tally.refused).toBeLessThan(tally.withRows);
}, 300_000);

describe("one setup", () => {
  let setup: Setup;
  beforeAll(async () => {
    setup = await directSetup(inject("postgresUrl"));
  });
  afterAll(() => setup[Symbol.asyncDispose]());

  it("has nothing that preflight would refuse in a world", async () => {
    const pool = setup.world.pool({ max: 1 });
    const client = await pool.connect();
    try {
      for (let seed = 1; seed <= 10; seed += 1) {
        await compareWorld(setup, seed, emptyTally(), { reads: 0, bound: 0, writes: 0 });
        expect(await problems(client)).toEqual([]);
      }
    } finally {
      client.release();
    }
  });

  it.each(MUTANTS)("finds that $name", async ({ world, kit, adapter }) => {
    const { admin, names } = setup.world;
    const tally = emptyTally();
    const broken = adapter === undefined ? setup : { ...setup, shop: adapter(setup) };
    if (kit) await admin.query(kit(setup));
    try {
      // Always the same worlds. Each mutant was found in one of the first three.
      for (let seed = 1; seed <= 50 && tally.differences.length === 0; seed += 1) {
        await compareWorld(broken, seed, tally, world === undefined ? {} : { sabotage: world });
      }
    } finally {
      await admin.query("select behalf.add_agent_role($1, 'play')", [names.agent]);
    }
    expect(tally.differences).not.toEqual([]);
  });

  it("refuses by design exactly what is listed", async () => {
    const { admin, names } = setup.world;
    const roles = [names.agent, names.writer, names.statements, setup.humans].join();
    await admin.query(`
      drop schema if exists play cascade;
      create schema play;
      create table play.t (n int primary key);
      grant usage on schema play to ${roles};
      grant select, insert, update on play.t to ${roles};
      create function play.content() returns text language sql as 'select null::text';
      alter table play.t enable row level security;
      create policy everything on play.t using (true);
      select behalf.guard('play.t')`);
    const [person] = setup.people;
    if (person === undefined) throw new Error("there is nobody");
    const seen = [];
    for (const { text, access, way } of BY_DESIGN) {
      const direct = await directly(person.login, text, undefined, access);
      const through = await throughBehalf(
        setup.shop,
        person.delegation,
        way,
        text,
        undefined,
        access,
      );
      seen.push({ text, access, way, direct: direct.error ?? "ok", behalf: through.error ?? "ok" });
    }
    expect(seen).toEqual(BY_DESIGN);
  });
});
