import { milliseconds } from "./figures.ts";

/** Microseconds per call of each contestant, one value a round. */
export type Times = ReadonlyMap<string, readonly number[]>;

/**
 * Lets the contestants take turns, round after round, so that a noisy neighbour meets all of them. The
 * first two rounds do not count.
 *
 * @param concurrency how many calls are under way at a time
 */
export async function interleaved(
  contestants: Readonly<Record<string, () => Promise<unknown>>>,
  { rounds, calls, concurrency = 1 }: { rounds: number; calls: number; concurrency?: number },
): Promise<Times> {
  const times = new Map<string, number[]>(Object.keys(contestants).map((name) => [name, []]));
  for (let round = -2; round < rounds; round++) {
    for (const [name, call] of Object.entries(contestants)) {
      let left = calls;
      const worker = async () => {
        while (left-- > 0) await call();
      };
      const took = await milliseconds(() =>
        Promise.all(Array.from({ length: concurrency }, worker)),
      );
      if (round >= 0) times.get(name)?.push((took / calls) * 1_000);
    }
  }
  return times;
}

/** Round by round, what `over` took against `under`. */
export function ratios(times: Times, over: string, under: string): readonly number[] {
  const below = times.get(under) ?? [];
  return (times.get(over) ?? []).map((value, round) => value / (below[round] ?? Number.NaN));
}
