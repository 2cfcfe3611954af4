import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { startGateway } from "../support/gateway-world.ts";
import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld } from "../support/world.ts";
import { type Figure, figure } from "./figures.ts";
import type { Load } from "./gateway-load.ts";

const ROUNDS = 7;
const CALLS = 2_000;
const CONCURRENCY = 16;
const statement = "select * from orders order by id limit 20";

/**
 * What a `tools/call` over HTTP costs the gateway's thread: 20 rows, a verified token, 16 at once; beside it
 * the adapter alone, asked in the same process.
 */
export async function run(): Promise<readonly Figure[]> {
  const server = await startTestPostgres();
  console.log(server.description);
  try {
    await using world = await makeWorld({ url: server.url, accessTokenTtlSeconds: 3600 });
    const database = world.adapter({ pool: world.pool({ max: 8 }) });
    await using served = await startGateway(world, { database });
    const token = await world.token("alice");
    const workerData: Load = { port: served.port, token, concurrency: CONCURRENCY, statement };
    const load = new Worker(new URL("./gateway-load.ts", import.meta.url), { workerData });
    const overHttp = async () => {
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      load.postMessage(CALLS);
      await once(load, "message");
    };
    const direct = async () => {
      let left = CALLS;
      const caller = async () => {
        while (left > 0) {
          left -= 1;
          await database.query(await world.front.delegate(token), statement);
        }
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, caller));
    };
    try {
      await overHttp();
      await direct();
      const cpu: Record<"gateway" | "adapter", number[]> = { gateway: [], adapter: [] };
      const rates: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        const began = performance.now();
        cpu.gateway.push(await cpuPerCall(overHttp));
        rates.push(CALLS / ((performance.now() - began) / 1000));
        cpu.adapter.push(await cpuPerCall(direct));
      }
      return [
        figure(
          "tools/call, 20 rows, 16 at once: CPU of the gateway's thread",
          "us",
          cpu.gateway,
          350,
        ),
        figure("of it the adapter, asked without HTTP", "us", cpu.adapter),
        figure("calls a second, client and database on the same machine", "1/s", rates),
      ];
    } finally {
      await load.terminate();
    }
  } finally {
    await server.stop();
  }
}

/** Microseconds of this thread's CPU for each of {@link CALLS} calls. */
async function cpuPerCall(work: () => Promise<void>): Promise<number> {
  const before = process.threadCpuUsage();
  await work();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / CALLS;
}
