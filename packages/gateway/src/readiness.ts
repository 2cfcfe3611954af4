/** Whether the gateway can serve calls, for a load balancer. */
export interface Readiness {
  isReady(): Promise<boolean>;
}

/** Everybody may ask, so that the database is asked at most so often. */
const ASK_AGAIN_MS = 1_000;

/**
 * @param ask rejects when calls cannot be served
 * @param onFailure told once for each answer that is no
 */
export function readiness(
  ask: () => Promise<unknown>,
  onFailure: (error: unknown) => void,
  now: () => number = Date.now,
): Readiness {
  let askedAt = Number.NEGATIVE_INFINITY;
  let running: Promise<boolean> | undefined;
  let last: Promise<boolean> = Promise.resolve(false);
  return {
    isReady() {
      if (running !== undefined) return running;
      if (now() - askedAt < ASK_AGAIN_MS) return last;
      askedAt = now();
      last = (async () => ask())()
        .then(
          () => true,
          (error: unknown) => {
            onFailure(error);
            return false;
          },
        )
        .finally(() => (running = undefined));
      running = last;
      return last;
    },
  };
}
