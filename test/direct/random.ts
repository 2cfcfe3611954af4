import { seededRandom } from "../../packages/conformance/src/seeded-random.ts";

/** A stream of choices that one number decides. */
export interface Random {
  /** A whole number from 0 to `below` - 1. */
  int(below: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** Between `least` and `most` different ones, in their own order. */
  some<T>(from: readonly T[], least: number, most: number): readonly T[];
}

export function random(seed: number): Random {
  const next = seededRandom(seed);
  // The first numbers of neighbouring seeds are alike.
  for (let time = 0; time < 8; time += 1) next();
  const int = (below: number) => Math.floor(next() * below);
  return {
    int,
    chance: (probability) => next() < probability,
    pick<T>(from: readonly T[]): T {
      if (from.length === 0) throw new RangeError("there is nothing to pick from");
      return from[int(from.length)] as T;
    },
    some<T>(from: readonly T[], least: number, most: number): readonly T[] {
      const wanted = Math.min(from.length, least + int(most - least + 1));
      const chosen = new Set<number>();
      while (chosen.size < wanted) chosen.add(int(from.length));
      return from.filter((_, index) => chosen.has(index));
    },
  };
}
