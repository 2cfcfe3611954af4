import type { SqlAdapter } from "@behalf/core";

import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld, type World } from "../support/world.ts";
import { type Figure, figure, milliseconds } from "./figures.ts";

const ROUNDS = 10;
const CALLS = 50;
/** What Alice keeps under way, all the time. */
const LONG = 16;

/** Bob's `select 1` while Alice's agent keeps 16 statements of a second under way, on a pool of 10. */
export async function run(): Promise<readonly Figure[]> {
  const server = await startTestPostgres();
  console.log(server.description);
  try {
    await using world = await makeWorld({ url: server.url, accessTokenTtlSeconds: 3_600 });
    const shop = world.adapter({ pool: world.pool({ max: 10 }) });
    const bob = await world.token("bob");
    const ask = async () => {
      await shop.query(await world.front.delegate(bob), "select 1");
    };
    await ask();
    const alone: number[] = [];
    const beside: number[] = [];
    let longest = 0;
    for (let round = 0; round < ROUNDS; round++) {
      alone.push(median(await times(ask)));
      await using noise = await noisy(world, shop);
      const took = await times(ask);
      beside.push(median(took));
      longest = Math.max(longest, ...took);
      if (noise.failed > 0) throw new Error("a long statement failed");
    }
    return [
      figure("select 1, nobody else: median of a round", "ms", alone),
      figure(
        "select 1 beside 16 long statements of another human: median of a round",
        "ms",
        beside,
      ),
      figure(`select 1 beside them: longest of ${ROUNDS * CALLS}`, "ms", [longest], 50),
    ];
  } finally {
    await server.stop();
  }
}

async function noisy(world: World, shop: SqlAdapter) {
  const alice = await world.token("alice");
  const leaving = new AbortController();
  const noise = { failed: 0 };
  const { signal } = leaving;
  const workers = Array.from({ length: LONG }, async () => {
    while (!signal.aborted) {
      await shop
        .query(await world.front.delegate(alice), "select pg_sleep(1)", { signal })
        .catch(() => {
          if (!signal.aborted) noise.failed += 1;
        });
    }
  });
  // All of them are under way, or wait for their turn.
  await new Promise((resolve) => {
    setTimeout(resolve, 300);
  });
  return Object.assign(noise, {
    async [Symbol.asyncDispose]() {
      leaving.abort();
      await Promise.all(workers);
    },
  });
}

async function times(work: () => Promise<void>): Promise<number[]> {
  const took: number[] = [];
  for (let call = 0; call < CALLS; call++) took.push(await milliseconds(work));
  return took;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}
