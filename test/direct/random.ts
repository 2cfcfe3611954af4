/** A stream of choices that one number decides. */
export interface Random {
  /** A whole number from 0 to `below` - 1. */
  int(below: number): number;
  chance(probability: number): boolean;
  pick<T>(from: readonly T[]): T;
  /** Between `least` and `most` different ones, in their own order. */
  some<T>(from: readonly T[], least: number, most: number): readonly T[];
}

/** Mulberry32: small, fast, and the same on every machine. */
export function random(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
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
