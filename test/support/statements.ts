/**
 * Whether `postgres()` takes trusted statements. Turn it on together with the adapter's `statements`
 * option: what waits for it is skipped by name until then.
 */
export const TAKES_STATEMENTS = false;
