import { randomInt } from "node:crypto";
import { parseArgs } from "node:util";

import { type Figure, figure, report } from "../bench/figures.ts";
import { startTestPostgres } from "../support/test-postgres.ts";
import found from "./seeds.json" with { type: "json" };
import { compareWorlds, type Tally } from "./worlds.ts";

const usage = `usage: npm run direct -- [--worlds N] [--seed S] [--json FILE]
  --worlds N  how many schemas with policies; default is 2000
  --seed S    the first one's seed, the others follow it; default is one at random`;

process.exitCode = await main();

async function main(): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({
      options: {
        worlds: { type: "string", default: "2000" },
        seed: { type: "string", default: String(randomInt(2 ** 31)) },
        json: { type: "string" },
      },
    });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  const [worlds, seed] = [Number(parsed.values.worlds), Number(parsed.values.seed)];
  if (!Number.isInteger(worlds) || worlds < 1 || !Number.isInteger(seed) || seed < 0) {
    console.error(usage);
    return 2;
  }
  const server = await startTestPostgres();
  try {
    console.log(`${server.description}\n${worlds} worlds from seed ${seed}`);
    const before = performance.now();
    const seeds = Array.from({ length: worlds }, (_, index) => seed + index);
    const tally = await compareWorlds(server.url, [...found, ...seeds]);
    for (const different of tally.differences) console.error(different);
    const figures = figuresOf(tally, (performance.now() - before) / 1_000);
    await report(figures, parsed.values.json);
    return figures.every(({ holds }) => holds !== false) ? 0 : 1;
  } finally {
    await server.stop();
  }
}

function figuresOf(tally: Tally, seconds: number): readonly Figure[] {
  return [
    figure("schemas with policies", "schemas", [tally.worlds]),
    figure("texts of one human", "texts", [tally.texts]),
    figure("of these, with rows", "texts", [tally.withRows]),
    figure("of these, refused on both ways", "texts", [tally.refused]),
    figure("comparisons with the direct login", "comparisons", [tally.comparisons]),
    figure("differences", "comparisons", [tally.differences.length], 0),
    figure("time", "s", [seconds]),
  ];
}
