import { parseArgs } from "node:util";

import { type Figure, figure, report } from "../bench/figures.ts";
import { cancelRace, carelessRace } from "../support/cancel-race.ts";
import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld } from "../support/world.ts";

const SOAKS: Readonly<Record<string, (times: number) => Promise<readonly Figure[]>>> = {
  cancels,
};

const usage = `usage: npm run soak -- NAME [--times N] [--json FILE]
  NAME: ${Object.keys(SOAKS).join(", ")}
  --times N  how often; default is 10000`;

process.exitCode = await main();

async function main(): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      options: { json: { type: "string" }, times: { type: "string", default: "10000" } },
      allowPositionals: true,
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  const [name = "", ...more] = parsed.positionals;
  const soak = SOAKS[name];
  const times = Number(parsed.values.times);
  if (soak === undefined || more.length > 0 || !Number.isInteger(times) || times < 1) {
    console.error(usage);
    return 2;
  }
  const figures = await soak(times);
  await report(figures, parsed.values.json);
  return figures.every(({ holds }) => holds !== false) ? 0 : 1;
}

/** Alice gives up so many calls at random moments while Bob calls on the same connections. */
async function cancels(times: number): Promise<readonly Figure[]> {
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
