import { adapterSuite, type Observation } from "@behalf/conformance";
import pg from "pg";
import { afterAll, describe, expect, inject, it } from "vitest";

import { observed } from "../support/conformance-observer.ts";
import { conformanceWorld, postgresHarness } from "../support/postgres-conformance.ts";

const INTERLEAVINGS = Number(process.env["BEHALF_INTERLEAVINGS"] ?? 10_000);

const made = await conformanceWorld({ url: inject("postgresUrl") });
afterAll(() => made[Symbol.asyncDispose]());
const harness = postgresHarness(made);

adapterSuite({ describe, it, expect }, harness, {
  interleavings: INTERLEAVINGS,
  // Each case in one of the ways, in turn. All of them: npm run conformance
  waysPerCase: 1,
});

describe("what the harness observes", () => {
  const { world } = made;

  /**
   * Alice looks at every row, within a task or without, over a connection of the gateway's that no adapter
   * has, and what the database counted meanwhile.
   */
  async function looked(setting: string, objects?: readonly string[]): Promise<readonly string[]> {
    const before = await harness.observe();
    const token = await world.databaseToken("alice");
    const task = objects && {
      exp: Date.now() / 1000 + 60,
      authorization_details: [{ actions: ["read"], objects }],
    };
    const client = new pg.Client({ connectionString: world.url() });
    await client.connect();
    await client.query("begin read only");
    await client.query(`set local ${setting} = off`);
    await client.query("select behalf.start($1, $2, 'alice', task => $3)", [
      token,
      world.idp.issuer,
      task === undefined ? null : JSON.stringify(task),
    ]);
    const { rows } = await client.query(
      "select behalf.read('select org_id from orders', 100, 10000)",
    );
    await client.end();
    const counted = differences(before, await harness.observe());
    // The two never disagree, whatever the policies are.
    expect(counted.reduce((sum, [, times]) => sum + times, 0)).toBe(rows.length);
    return counted.map(([line]) => line);
  }

  function differences(before: Observation, after: Observation): readonly [string, number][] {
    const key = (seen: Observation["reads"][number]) =>
      `${seen.subject?.subject} by ${seen.actors.join()} saw ${seen.owner}`;
    const old = new Map(before.reads.map(({ times = 1, ...seen }) => [key(seen), times]));
    return after.reads
      .map(({ times = 1, ...seen }): [string, number] => [
        key(seen),
        times - (old.get(key(seen)) ?? 0),
      ])
      .filter(([, times]) => times > 0);
  }

  const OWN = ["alice by agent:assistant saw acme"];
  const EVERYBODYS = ["acme", "globex", "initech"].map(
    (org) => `alice by agent:assistant saw ${org}`,
  );

  // The order in which conditions are tested must not depend on how the rows are found.
  it.each(["enable_seqscan", "enable_indexscan"])(
    "is what no policy hides, and nothing else, with %s off",
    async (setting) => {
      const { admin } = world;
      const uncovered = ["public.invoices"];
      try {
        expect(await looked(setting)).toEqual(OWN);
        // The guard hides every row: none is counted.
        expect(await looked(setting, uncovered)).toEqual([]);
        // Without the guard the same call sees them, and each is.
        await admin.query("select behalf.unguard('orders')");
        expect(await looked(setting, uncovered)).toEqual(OWN);
        await admin.query("select behalf.guard('orders')");
        // A policy that hides nothing.
        await admin.query(
          `alter policy agents_read on orders using (${observed("true", "org_id")})`,
        );
        expect(await looked(setting)).toEqual(EVERYBODYS);
        expect(await looked(setting, uncovered)).toEqual([]);
      } finally {
        const mine = observed("org_id = (select behalf.claim('org_id'))", "org_id");
        await admin.query(`alter policy agents_read on orders using (${mine})`);
      }
    },
  );
});
