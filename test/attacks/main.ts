import { writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";

import type { Figure } from "../bench/figures.ts";
import {
  embeddedPostgres,
  POSTGRES_MAJORS,
  type PostgresMajor,
} from "../support/embedded-postgres.ts";
import { CATEGORIES, type PlacedCase } from "./attack-case.ts";
import { CORPUS } from "./corpus.ts";
import type { Verdict } from "./run-case.ts";
import { runCorpus } from "./run-corpus.ts";
import { type Setting, SETTINGS } from "./settings.ts";
import { figuresOf, printTable } from "./table.ts";

const usage = `usage: npm run attacks -- [--version ${POSTGRES_MAJORS.join("|")}|all] [--category NAME] [--id ID] [--setting NAME] [--json FILE] [--verbose]
  --version   default is 18; the binaries of the others are fetched once, and a version without them is skipped aloud
  --category  ${CATEGORIES.join(", ")}
  --setting   ${SETTINGS.map(({ name }) => name).join("; ")}
  --verbose   also says what each broken case showed`;

interface Wanted {
  readonly versions: readonly PostgresMajor[];
  readonly cases: readonly PlacedCase[];
  readonly settings: readonly Setting[];
  readonly json: string | undefined;
  readonly verbose: boolean;
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
  for (const version of wanted.versions) figures.push(...(await attack(version, wanted)));
  if (wanted.json !== undefined) {
    await writeFile(wanted.json, `${JSON.stringify(figures, null, 2)}\n`);
  }
  const missed = figures.filter(({ holds }) => holds === false);
  for (const { id, figure, bar } of missed) console.log(`MISSED: ${id}: ${figure}, at most ${bar}`);
  return missed.length === 0 && figures.length > 0 ? 0 : 1;
}

function parse(): Wanted {
  const { values } = parseArgs({
    options: {
      version: { type: "string", default: "18" },
      category: { type: "string" },
      id: { type: "string" },
      setting: { type: "string" },
      json: { type: "string" },
      verbose: { type: "boolean", default: false },
    },
  });
  const versions = POSTGRES_MAJORS.filter(
    (major) => values.version === "all" || values.version === String(major),
  );
  if (versions.length === 0) throw new Error(`there is no version ${values.version}`);
  const cases = CORPUS.filter(
    ({ id, category }) =>
      (values.category === undefined || values.category === category) &&
      (values.id === undefined || values.id === id),
  );
  if (cases.length === 0) throw new Error("no case has this id and category");
  const settings = SETTINGS.filter(
    ({ name }) => values.setting === undefined || values.setting === name,
  );
  if (settings.length === 0) throw new Error(`there is no setting ${values.setting}`);
  return { versions, cases, settings, json: values.json, verbose: values.verbose };
}

async function attack(
  version: PostgresMajor,
  { cases, settings, verbose }: Wanted,
): Promise<readonly Figure[]> {
  const started = performance.now();
  let server;
  try {
    server = await embeddedPostgres({ settings: { max_prepared_transactions: "5" } }, version);
  } catch (error) {
    console.log(
      `SKIPPED: PostgreSQL ${version}: ${error instanceof Error ? error.message : String(error)}`,
    );
    return [];
  }
  let verdicts: readonly Verdict[];
  try {
    verdicts = await runCorpus({ url: server.url, cases, settings });
  } finally {
    await server.stop();
  }
  printTable(server.version, cases, settings, verdicts);
  const figures = figuresOf(server.version, cases, settings, verdicts);
  const controls = settings.filter(({ kind }) => kind === "control").map(({ name }) => name);
  const broke = new Set(
    verdicts
      .filter((one) => one.broken !== null && controls.includes(one.setting))
      .map(({ id }) => id),
  );
  const reasoned = cases.filter(({ neverBroke }) => neverBroke !== undefined).length;
  console.log(
    `  ${broke.size} of ${cases.length} broke the control; ${reasoned} are kept with a reason why they break nowhere`,
  );
  if (verbose) {
    for (const { id, setting, broken } of verdicts) {
      if (broken !== null) console.log(`  ${setting} | ${id} | ${broken}`);
    }
  } else {
    for (const { name } of settings.filter(({ kind }) => kind === "behalf")) {
      const left = verdicts.filter((one) => one.setting === name && one.broken !== null);
      if (left.length > 0) console.log(`  ${name}: ${left.map(({ id }) => id).join(", ")}`);
    }
  }
  console.log(`  ${cases.length} cases, ${Math.round((performance.now() - started) / 1000)} s`);
  return figures;
}
