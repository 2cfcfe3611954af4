import { writeFile } from "node:fs/promises";

/** What the caller asked for is not there. */
export class WrongUsage extends Error {}

/** One measured figure and the bar that it is held to. */
export interface Figure {
  readonly id: string;
  /** The median. */
  readonly figure: number;
  readonly unit: string;
  readonly min: number;
  readonly max: number;
  /** What the figure is held to, or `null` where there is nothing. */
  readonly bar: number | null;
  /** Where the bar is the least that the figure must reach; without it, the most that it may be. */
  readonly direction?: "at least";
  readonly holds: boolean | null;
  readonly evidence: "live" | "independent engine" | "emulated";
}

/** A number is the most that a figure may be. */
export type Bar = number | { readonly atLeast: number } | null;

/** Makes a figure of the values of interleaved rounds. */
export function figure(
  id: string,
  unit: string,
  values: readonly number[],
  bar: Bar = null,
): Figure {
  const sorted = values.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  return {
    id,
    figure: round(median),
    unit,
    min: round(sorted[0] ?? Number.NaN),
    max: round(sorted.at(-1) ?? Number.NaN),
    ...heldTo(bar, median),
    evidence: "independent engine",
  };
}

function heldTo(bar: Bar, median: number): Pick<Figure, "bar" | "direction" | "holds"> {
  if (bar === null) return { bar, holds: null };
  if (typeof bar === "number") return { bar, holds: median <= bar };
  return { bar: bar.atLeast, direction: "at least", holds: median >= bar.atLeast };
}

/** Prints the table and, where a file is named, writes the same as JSON. */
export async function report(figures: readonly Figure[], file: string | undefined): Promise<void> {
  console.table(
    Object.fromEntries(
      figures.map(({ id, figure: median, unit, min, max, bar, direction, holds }) => [
        id,
        {
          median,
          unit,
          min,
          max,
          bar: bar === null ? "" : `${direction ?? "at most"} ${bar}`,
          holds: holds === null ? "" : holds ? "yes" : "NO",
        },
      ]),
    ),
  );
  if (file !== undefined) await writeFile(file, `${JSON.stringify(figures, null, 2)}\n`);
}

/** Milliseconds of one asynchronous piece of work. */
export async function milliseconds(work: () => Promise<unknown>): Promise<number> {
  const before = performance.now();
  await work();
  return performance.now() - before;
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
