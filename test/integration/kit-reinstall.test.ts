import { sql } from "@behalf/core";
import { installKit } from "@behalf/postgres";
import { expect, inject, it } from "vitest";

import { makeWorld } from "../support/world.ts";

it("lets no call fail while the same kit is installed again and again", async () => {
  await using world = await makeWorld({ url: inject("postgresUrl"), orders: 20 });
  const inputs = [
    ["alice", "select count(*)::int from orders", "read"],
    ["bob", sql`select count(*)::int from orders`, "read"],
    ["carol", "update orders set note = 'seen' returning 20", "write"],
    ["dan", sql`update orders set note = 'seen' returning 20`, "write"],
  ] as const;
  const state = { installing: true, calls: 0 };
  const callers = inputs.map(async ([human, input, access]) => {
    while (state.installing) {
      // A new adapter has no ticket, so every way through the kit is gone.
      const shop = world.adapter();
      for (let repeated = 0; repeated < 3; repeated += 1) {
        const { rows } = await shop.query(await world.delegate(human), input, { access });
        expect(rows[0]).toEqual([20]);
        state.calls += 1;
      }
      await shop.close();
    }
  });
  const install = async () => {
    for (let times = 0; times < 8 || state.calls < 40; times += 1) await installKit(world.admin);
    state.installing = false;
  };
  try {
    await Promise.all([install(), ...callers]);
  } finally {
    state.installing = false;
    await Promise.allSettled(callers);
  }
  expect(state.calls).toBeGreaterThanOrEqual(40);
});
