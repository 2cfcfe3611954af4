import { mkdtempDisposable, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { expect, inject, it } from "vitest";

import { CATEGORIES, CLOSED, type PlacedCase } from "../attacks/attack-case.ts";
import { CORPUS } from "../attacks/corpus.ts";
import { runCorpus } from "../attacks/run-corpus.ts";
import { SETTINGS } from "../attacks/settings.ts";
import { figuresOf, LEFT } from "../attacks/table.ts";
import { runCommand } from "../support/command-run.ts";

/** Breaks the control only where prepared transactions are on, as on the server of `npm run attacks`. */
const NEEDS_THE_OWN_SERVER = ["prepare-transaction"];

const seed = Number(process.env["BEHALF_SEED"] ?? Date.now() % 1_000_000_007);

/** So many cases, other ones in each run; `npm run attacks` runs all. */
function sample(size: number): readonly PlacedCase[] {
  let state = seed;
  const drawn = CORPUS.map((one) => {
    state = (state * 48_271 + 11) % 2_147_483_647;
    return { one, at: state };
  });
  return drawn
    .toSorted((a, b) => a.at - b.at)
    .slice(0, size)
    .map(({ one }) => one);
}

it(`breaks nothing that is closed, and the control where it can, seed ${seed}`, async () => {
  const cases = sample(12);
  const categoryOf = new Map(cases.map(({ id, category }) => [id, category]));
  const verdicts = await runCorpus({ url: inject("postgresUrl"), cases, settings: SETTINGS });
  expect(verdicts).toHaveLength(cases.length * SETTINGS.length);
  const behalf = SETTINGS.filter(({ kind }) => kind === "behalf");
  const broken = verdicts.filter((one) => one.broken !== null);
  const inBehalf = broken.filter(({ setting }) => behalf.some(({ name }) => name === setting));
  const closed = inBehalf.filter(({ id }) => CLOSED.some((one) => one === categoryOf.get(id)));
  expect(closed).toEqual([]);
  const hardened = behalf.filter((setting) => setting.hardened);
  const left = inBehalf.filter(({ setting }) => hardened.some(({ name }) => name === setting));
  expect(left.filter(({ id }) => !LEFT.includes(id))).toEqual([]);
  const controls = new Set(
    broken.filter(({ setting }) => setting.startsWith("usual")).map(({ id }) => id),
  );
  const silent = cases.filter(
    ({ id, neverBroke }) => neverBroke === undefined && !controls.has(id),
  );
  expect(silent.map(({ id }) => id).filter((id) => !NEEDS_THE_OWN_SERVER.includes(id))).toEqual([]);
  const figures = figuresOf("here", cases, SETTINGS, verdicts);
  expect(figures.filter(({ bar }) => bar !== null).length).toBeGreaterThan(behalf.length);
}, 120_000);

it("has 150 cases that break the control or say why not, each with a name of its own", async () => {
  expect(new Set(CORPUS.map(({ id }) => id)).size).toBe(CORPUS.length);
  expect(CORPUS.filter(({ neverBroke }) => neverBroke === undefined).length).toBeGreaterThan(150);
  expect(new Set(CORPUS.map(({ category }) => category)).size).toBe(CATEGORIES.length);
  const page = await readFile(new URL("../../docs/threat-model.md", import.meta.url), "utf8");
  for (const id of LEFT) {
    expect(CORPUS.some((one) => one.id === id)).toBe(true);
    expect(page).toContain(`\`${id}\``);
  }
});

const main = fileURLToPath(new URL("../attacks/main.ts", import.meta.url));

it("prints the table and writes the figures", async () => {
  await using folder = await mkdtempDisposable(join(tmpdir(), "behalf-attacks-"));
  const file = join(folder.path, "figures.json");
  const args = ["--id", "reset-role", "--setting", "usual, simple", "--json", file, "--verbose"];
  const run = runCommand(process.execPath, [main, ...args], {});
  expect([await run.ended, run.error()]).toEqual([0, ""]);
  expect(run.out()).toMatch(/role +│ 1 +│ 1 /);
  expect(run.out()).toMatch(/usual, simple \| reset-role \| the attacker saw was usual_login/);
  expect(JSON.parse(await readFile(file, "utf8"))).toContainEqual({
    id: expect.stringMatching(/^18\.\d+, usual, simple: role, of 1$/),
    figure: 1,
    unit: "cases",
    min: 1,
    max: 1,
    bar: null,
    holds: null,
    evidence: "live",
  });
});

it("says how it is called, and fails, when it is called wrongly", async () => {
  for (const args of [
    ["--version", "14"],
    ["--id", "nothing"],
  ]) {
    const run = runCommand(process.execPath, [main, ...args], {});
    expect([args, await run.ended]).toEqual([args, 2]);
    expect(run.error()).toContain("usage: npm run attacks");
  }
});
