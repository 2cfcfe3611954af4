import { parseArgs } from "node:util";

import { type Report, reportText, runConformance } from "@behalf/conformance";
import { memoryHarness } from "@behalf/conformance/memory";

import { type Figure, figure, report } from "../bench/figures.ts";
import { conformanceWorld, postgresHarness } from "../support/postgres-conformance.ts";
import { startTestPostgres } from "../support/test-postgres.ts";
import { POSTGRES_MUTANTS } from "./postgres-mutants.ts";
import { type MutantVerdict, resultsOf, runMutants } from "./run-mutants.ts";

const ADAPTERS = ["memory", "postgres"] as const;
type AdapterName = (typeof ADAPTERS)[number];

const usage = `usage: npm run conformance -- [--adapter ${ADAPTERS.join("|")}] [--interleavings N] [--mutants] [--json FILE]
  --adapter        default is each
  --interleavings  calls of the concurrency group's long case; default is 10000
  --mutants        also breaks the postgres adapter and its kit in ${POSTGRES_MUTANTS.length} ways, and says which case notices each`;

interface Wanted {
  readonly adapters: readonly AdapterName[];
  readonly interleavings: number;
  readonly mutants: boolean;
  readonly json: string | undefined;
}

process.exitCode = await main();

async function main(): Promise<number> {
  let wanted;
  try {
    wanted = parse();
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${usage}`);
    return 2;
  }
  const figures: Figure[] = [];
  const { adapters, interleavings } = wanted;
  if (adapters.includes("memory")) {
    const started = performance.now();
    const found = await runConformance(memoryHarness(), { interleavings });
    figures.push(...figuresOf(found, started));
  }
  if (adapters.includes("postgres") || wanted.mutants) {
    const server = await startTestPostgres();
    try {
      console.log(server.description);
      figures.push(...(await postgresFigures(server.url, wanted)));
    } finally {
      await server.stop();
    }
  }
  await report(figures, wanted.json);
  return figures.every(({ holds }) => holds !== false) ? 0 : 1;
}

function parse(): Wanted {
  const { values } = parseArgs({
    options: {
      adapter: { type: "string" },
      interleavings: { type: "string", default: "10000" },
      mutants: { type: "boolean", default: false },
      json: { type: "string" },
    },
  });
  const adapters = ADAPTERS.filter(
    (name) => values.adapter === undefined || name === values.adapter,
  );
  if (adapters.length === 0) throw new Error(`there is no adapter ${values.adapter}`);
  const interleavings = Number(values.interleavings);
  if (!Number.isSafeInteger(interleavings) || interleavings < 1) {
    throw new Error(`--interleavings must be a whole number above 0, not ${values.interleavings}`);
  }
  return { adapters, interleavings, mutants: values.mutants, json: values.json };
}

async function postgresFigures(
  url: string,
  { adapters, interleavings, mutants }: Wanted,
): Promise<readonly Figure[]> {
  await using made = await conformanceWorld({ url });
  const figures: Figure[] = [];
  if (adapters.includes("postgres")) {
    const started = performance.now();
    const found = await runConformance(postgresHarness(made), { interleavings });
    figures.push(...figuresOf(found, started));
  }
  if (!mutants) return figures;
  const started = performance.now();
  const verdicts: MutantVerdict[] = [];
  for await (const verdict of runMutants(url, made, POSTGRES_MUTANTS)) {
    verdicts.push(verdict);
    print(verdict);
  }
  const caughtBy = POSTGRES_MUTANTS.flatMap((mutant) => mutant.caughtBy);
  const controls = await resultsOf(made, caughtBy);
  const broken = controls.filter(({ result }) => result?.status !== "passed");
  for (const one of broken) console.log(`FAILS WITHOUT A MUTANT: ${one.case} [${one.way}]`);
  const caught = verdicts.filter(({ isCaught }) => isCaught).length;
  return [
    ...figures,
    figure("postgres: mutants caught", "mutants", [caught], { atLeast: verdicts.length }),
    figure("postgres: cases that fail without one", "cases", [broken.length], 0),
    figure("postgres: time of the mutants", "s", [(performance.now() - started) / 1000]),
  ];
}

function print({ mutant, catches, isCaught }: MutantVerdict): void {
  console.log(`${isCaught ? "caught" : "MISSED"}  ${mutant.group}: ${mutant.id}`);
  for (const { result, says, ...one } of catches) {
    const said =
      result?.status === "failed" ? `says: ${result.why?.slice(0, 120)}` : `expected: ${says}`;
    console.log(`          ${one.case} [${one.way}] ${result?.status ?? "did not run"}, ${said}`);
  }
}

function figuresOf(found: Report, started: number): readonly Figure[] {
  console.log(`${reportText(found)}\n`);
  for (const { id, way, status, why } of found.results) {
    if (status === "failed") console.log(`FAILED: ${id} [${way}]: ${why}`);
  }
  const count = (status: string) => found.results.filter((one) => one.status === status).length;
  const { backend, evidence } = found;
  return [
    figure(`${backend}: cases passed`, "cases", [count("passed")], { atLeast: 1 }),
    figure(`${backend}: cases failed`, "cases", [count("failed")], 0),
    figure(`${backend}: cases skipped, with a reason`, "cases", [count("skipped")]),
    figure(`${backend}: time`, "s", [(performance.now() - started) / 1000]),
  ].map((one) => ({ ...one, evidence }));
}
