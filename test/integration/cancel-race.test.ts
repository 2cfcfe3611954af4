import { expect, inject, it } from "vitest";

import { cancelRace, carelessRace } from "../support/cancel-race.ts";
import { makeWorld } from "../support/world.ts";

const CANCELS = Number(process.env["BEHALF_CANCELS"] ?? 400);

/** `npm run soak -- cancels` sends 10,000. */
it("never lets a late cancel hit the next human's statement", { timeout: 600_000 }, async () => {
  await using world = await makeWorld({ url: inject("postgresUrl") });
  const shop = world.adapter({ pool: world.pool({ max: 4 }) });
  const race = await cancelRace(world, shop, CANCELS, Math.random);
  expect(race).toMatchObject({ cancelled: CANCELS, next: CANCELS, hit: 0 });
  // Both must have happened, or the race was none.
  expect(race.finished).toBeGreaterThan(0);
  expect(race.finished).toBeLessThan(CANCELS);
  // The other side: on a connection that is used on, late cancels do hit the next statement.
  const careless = await carelessRace(inject("postgresUrl"), 5_000, 1);
  expect(careless.hit).toBeGreaterThan(0);
});
