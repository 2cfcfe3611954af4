/** Collects what the tour claims, and whether it held. */
export interface Checks {
  /** Records a claim. Returns whether it held, for what is printed next. */
  readonly check: (claim: string, holds: boolean) => boolean;
  readonly total: number;
  readonly failed: readonly string[];
}

export function checks(): Checks {
  const failed: string[] = [];
  let total = 0;
  return {
    check(claim, holds) {
      total += 1;
      if (!holds) failed.push(claim);
      return holds;
    },
    get total() {
      return total;
    },
    failed,
  };
}
