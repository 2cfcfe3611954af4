import { type Figure, figure } from "../bench/figures.ts";
import { cancelRace, carelessRace } from "../support/cancel-race.ts";
import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld } from "../support/world.ts";

/** Alice gives up so many calls at random moments while Bob calls on the same connections. */
export async function cancels(times: number): Promise<readonly Figure[]> {
  const server = await startTestPostgres();
  console.log(server.description);
  try {
    await using world = await makeWorld({ url: server.url, accessTokenTtlSeconds: 3_600 });
    const shop = world.adapter({ pool: world.pool({ max: 4 }) });
    const race = await cancelRace(world, shop, times, Math.random);
    const careless = await carelessRace(server.url, 1_000);
    return [
      figure("calls given up at a random moment", "calls", [race.cancelled]),
      figure("of these, finished by then", "calls", [race.finished]),
      figure("next human's statements hit by a late cancel", "calls", [race.hit], 0),
      figure("the same on a connection that is used on, of 1,000", "calls", [careless.hit]),
    ];
  } finally {
    await server.stop();
  }
}
