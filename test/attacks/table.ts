import type { Figure } from "../bench/figures.ts";
import { CATEGORIES, CLOSED, type PlacedCase } from "./attack-case.ts";
import type { Verdict } from "./run-case.ts";
import type { Setting } from "./settings.ts";

/** Most cases that may be left in a hardened setting. */
const MOST_LEFT = 8;

/** What is left with hardening. docs/threat-model.md says of each what would close it. */
export const LEFT: readonly string[] = [
  "roles",
  "function-source",
  "policies",
  "unique",
  "on-conflict",
  "foreign-key",
  "row-estimate",
  "memory",
];

/** How many cases broke, for each category and setting, with what each is held to. */
export function figuresOf(
  version: string,
  cases: readonly PlacedCase[],
  settings: readonly Setting[],
  verdicts: readonly Verdict[],
): readonly Figure[] {
  const broken = new Set(
    verdicts.filter((one) => one.broken !== null).map((one) => `${one.setting} ${one.id}`),
  );
  const count = (setting: Setting, some: readonly PlacedCase[]) =>
    some.filter(({ id }) => broken.has(`${setting.name} ${id}`)).length;
  const figures = settings.flatMap((setting) => {
    const isBehalf = setting.kind === "behalf";
    const counts = CATEGORIES.map((category) => {
      const some = cases.filter((one) => one.category === category);
      const bar = isBehalf && CLOSED.includes(category) ? 0 : null;
      return some.length === 0
        ? []
        : [
            figure(
              `${version}, ${setting.name}: ${category}, of ${some.length}`,
              count(setting, some),
              bar,
            ),
          ];
    });
    const all = count(setting, cases);
    const bar = isBehalf && setting.hardened ? MOST_LEFT : null;
    return [
      ...counts.flat(),
      figure(`${version}, ${setting.name}: all, of ${cases.length}`, all, bar),
    ];
  });
  // A case that breaks nothing anywhere proves nothing.
  const controls = settings.filter(({ kind }) => kind === "control");
  const silent = silentCases(cases, controls, broken);
  return controls.length === 0
    ? figures
    : [...figures, figure(`${version}, break no control and do not say why`, silent.length, 0)];
}

function silentCases(
  cases: readonly PlacedCase[],
  controls: readonly Setting[],
  broken: ReadonlySet<string>,
): readonly PlacedCase[] {
  return cases.filter(
    ({ id, neverBroke }) =>
      neverBroke === undefined && !controls.some(({ name }) => broken.has(`${name} ${id}`)),
  );
}

function figure(id: string, value: number, bar: number | null): Figure {
  const holds = bar === null ? null : value <= bar;
  return { id, figure: value, unit: "cases", min: value, max: value, bar, holds, evidence: "live" };
}

/** One line for each category, one column for each setting: broken of all. */
export function printTable(
  version: string,
  cases: readonly PlacedCase[],
  settings: readonly Setting[],
  verdicts: readonly Verdict[],
): void {
  const rows = [...CATEGORIES, "all"].flatMap((category) => {
    const ids = new Set(
      cases.filter((one) => category === "all" || one.category === category).map(({ id }) => id),
    );
    if (ids.size === 0) return [];
    const counts = settings.map(({ name }) => [
      name,
      verdicts.filter((one) => one.setting === name && one.broken !== null && ids.has(one.id))
        .length,
    ]);
    return [[category, { cases: ids.size, ...Object.fromEntries(counts) }] as const];
  });
  console.log(`\nPostgreSQL ${version}: cases that broke`);
  console.table(Object.fromEntries(rows));
}
