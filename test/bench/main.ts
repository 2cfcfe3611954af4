import { parseArgs } from "node:util";

import { type Figure, report, WrongUsage } from "./figures.ts";

const BENCHES: Readonly<Record<string, () => Promise<{ run(): Promise<readonly Figure[]> }>>> = {
  "first-page": () => import("./first-page.ts"),
  calls: () => import("./calls.ts"),
  neighbours: () => import("./neighbours.ts"),
  records: () => import("./records.ts"),
  gateway: () => import("./gateway.ts"),
  postgres: () => import("./postgres.ts"),
};

const usage = `usage: npm run bench -- NAME [--json FILE]
  NAME: ${Object.keys(BENCHES).join(", ")}`;

process.exitCode = await main();

async function main(): Promise<number> {
  let parsed;
  try {
    parsed = parseArgs({ options: { json: { type: "string" } }, allowPositionals: true });
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  const [name, ...more] = parsed.positionals;
  const bench = name === undefined ? undefined : BENCHES[name];
  if (bench === undefined || more.length > 0) {
    console.error(
      name === undefined ? usage : `there is no bench ${parsed.positionals.join(" ")}\n${usage}`,
    );
    return 2;
  }
  let figures;
  try {
    figures = await (await bench()).run();
  } catch (error) {
    if (!(error instanceof WrongUsage)) throw error;
    console.error(error.message);
    return 2;
  }
  await report(figures, parsed.values.json);
  return figures.every(({ holds }) => holds !== false) ? 0 : 1;
}
