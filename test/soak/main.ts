import { parseArgs } from "node:util";

import { report } from "../bench/figures.ts";
import { calls } from "./calls.ts";
import { cancels } from "./cancels.ts";

const usage = `usage: npm run soak -- --calls N [--seed N] [--json FILE]
       npm run soak -- cancels [--times N] [--json FILE]
  --calls N  so many calls of 100 humans over 8 connections, with faults at random
  --seed N   chooses the same calls and faults again; the default is a new one, which is printed
  cancels    calls that are given up while the next human calls on the same connections
  --times N  how often; default is 10000
Ctrl-C ends it early, with the figures of what was reached.`;

/** What a shell says of a program that Ctrl-C ended. */
const INTERRUPTED = 130;

process.exitCode = await main();

async function main(): Promise<number> {
  let parsed;
  try {
    const text = { type: "string" } as const;
    parsed = parseArgs({
      options: { calls: text, seed: text, times: text, json: text },
      allowPositionals: true,
    });
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
  const { values, positionals } = parsed;
  const { json } = values;
  const numbers = [values.calls, values.seed, values.times];
  if (numbers.some((text) => text !== undefined && !/^[1-9]\d{0,8}$/.test(text))) {
    return refuse("--calls, --seed and --times take a whole number from 1 to 999999999");
  }
  if (positionals.join(" ") === "cancels" && values.calls === undefined) {
    if (values.seed !== undefined) return refuse("cancels takes no --seed");
    const figures = await cancels(Number(values.times ?? 10_000));
    await report(figures, json);
    return figures.every(({ holds }) => holds !== false) ? 0 : 1;
  }
  if (positionals.join(" ") === "cancels") return refuse("--calls is for the soak without a name");
  if (positionals.length > 0) return refuse(`there is no soak ${positionals.join(" ")}`);
  if (values.calls === undefined) return refuse("say how many calls");
  if (values.times !== undefined) return refuse("--times is for cancels");

  const interrupt = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    // A second one ends the process at once; the server's guardian tidies up.
    process.once(signal, () => interrupt.abort());
  }
  const seed = Number(values.seed ?? 1 + Math.floor(Math.random() * 999_999_999));
  const figures = await calls({ calls: Number(values.calls), seed, signal: interrupt.signal });
  await report(figures, json);
  if (interrupt.signal.aborted) return INTERRUPTED;
  return figures.every(({ holds }) => holds !== false) ? 0 : 1;
}

function refuse(why: string): number {
  console.error(`${why}\n${usage}`);
  return 2;
}
