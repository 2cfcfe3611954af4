import { cpus, loadavg } from "node:os";

import pg from "pg";

import { startTestPostgres } from "../support/test-postgres.ts";
import { makeWorld } from "../support/world.ts";
import { type Bar, type Figure, figure } from "./figures.ts";
import { startBehalf } from "./gateway-behalf.ts";
import type { Contestant } from "./gateway-contestant.ts";
import { startBenchIssuer } from "./gateway-issuer.ts";
import { poolTarget, type Round, serverTarget, type Target } from "./gateway-load.ts";
import { installPeers, startDbhub, startToolbox } from "./gateway-peers.ts";
import { fillWorld, HUMANS } from "./gateway-world.ts";

const ROUNDS = 7;
const ROUND_MS = 1_000;
const WARM_UP_MS = 1_000;
const CONCURRENCY = [1, 16] as const;

/**
 * MCP `tools/call` of a 20-row SELECT: Behalf's gateway with a verified human, a sandbox and records,
 * beside the bare pool, the same server without any of that, and two peers. One round of each takes
 * turns, forwards and backwards.
 */
export async function run(): Promise<readonly Figure[]> {
  const hasPeers = await installPeers();
  const server = await startTestPostgres();
  console.log(server.description);
  // Neighbours on the same cores move every figure, and ratios less than the rest.
  console.log(`${cpus().length} cores, load average before it starts: ${loadavg()[0]?.toFixed(1)}`);
  try {
    await using world = await makeWorld({ url: server.url, orders: 1 });
    await using stack = new AsyncDisposableStack();
    const issuer = await startBenchIssuer();
    stack.defer(() => issuer.close());
    const filled = stack.use(await fillWorld(world, issuer, server.kind === "embedded"));
    const tokens = new Map<string, string>();
    for (const human of HUMANS) tokens.set(human, await issuer.token(human));

    const sharedUrl = world.url(filled.shared);
    const pool = new pg.Pool({ connectionString: sharedUrl, max: 10 });
    stack.defer(() => pool.end());
    const common = { issuer: issuer.url, tokens };
    const starts: (() => Promise<Contestant>)[] = [
      () => startBehalf({ ...common, identity: true, databaseUrl: world.url() }),
      () => startBehalf({ ...common, identity: false, databaseUrl: sharedUrl }),
    ];
    if (hasPeers) {
      starts.push(
        () => startDbhub(sharedUrl),
        () => startToolbox(sharedUrl, issuer.url, tokens),
      );
    }
    const targets: Target[] = [poolTarget(pool, filled)];
    for (const start of starts) {
      const contestant = await start();
      stack.defer(() => contestant.stop());
      targets.push(serverTarget(contestant, filled));
    }
    return figuresOf(await measure(targets), hasPeers);
  } finally {
    await server.stop();
  }
}

type Rounds = ReadonlyMap<string, readonly Round[]>;

async function measure(targets: readonly Target[]): Promise<ReadonlyMap<number, Rounds>> {
  const results = new Map<number, Map<string, Round[]>>();
  for (const concurrency of CONCURRENCY) {
    for (const target of targets) await target.round(concurrency, WARM_UP_MS);
    const rounds = new Map(targets.map(({ name }): [string, Round[]] => [name, []]));
    for (let n = 0; n < ROUNDS; n++) {
      const order = n % 2 === 0 ? targets : targets.toReversed();
      for (const target of order) {
        rounds.get(target.name)?.push(await target.round(concurrency, ROUND_MS));
      }
    }
    results.set(concurrency, rounds);
  }
  return results;
}

function figuresOf(results: ReadonlyMap<number, Rounds>, hasPeers: boolean): readonly Figure[] {
  const values = (concurrency: number, name: string, what: keyof Round) =>
    (results.get(concurrency)?.get(name) ?? []).map((round) => round[what]);
  const ratio = (id: string, concurrency: number, other: string, what: keyof Round, bar: Bar) => {
    const others = values(concurrency, other, what);
    const ratios = values(concurrency, "behalf", what).map(
      (value, index) => value / (others[index] ?? Number.NaN),
    );
    return figure(id, "times", ratios, bar);
  };
  const throughput = (other: string, bar: number) =>
    ratio(`c=16 throughput: behalf / ${other}`, 16, other, "callsPerSecond", { atLeast: bar });

  const names = [...(results.get(1)?.keys() ?? [])];
  const cpu = values(16, "behalf", "cpuUsPerCall");
  return [
    ...names.map((name) => figure(`c=1 p50: ${name}`, "ms", values(1, name, "p50Ms"))),
    ...names.map((name) => figure(`c=1 p99: ${name}`, "ms", values(1, name, "p99Ms"))),
    ...names.map((name) =>
      figure(`c=16 throughput: ${name}`, "calls/s", values(16, name, "callsPerSecond")),
    ),
    ...names.map((name) => figure(`c=16 p99: ${name}`, "ms", values(16, name, "p99Ms"))),
    ...names.map((name) =>
      figure(`c=16 CPU of PostgreSQL: ${name}`, "us/call", values(16, name, "databaseUsPerCall")),
    ),
    ...names
      .filter((name) => name !== "behalf")
      .map((name) => figure(`c=16 CPU: ${name}`, "us/call", values(16, name, "cpuUsPerCall"))),
    // Without /proc nobody knows: no bar then.
    figure("c=16 CPU: behalf", "us/call", cpu, cpu.some(Number.isNaN) ? null : 350),
    throughput("bare pg", 0.3),
    throughput("same server, shared login", 0.8),
    ...(hasPeers
      ? [
          throughput("dbhub", 2),
          throughput("toolbox, token", 1),
          ratio("c=1 p50: behalf / dbhub", 1, "dbhub", "p50Ms", 0.8),
        ]
      : []),
  ];
}
