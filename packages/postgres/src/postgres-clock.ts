import { BehalfError } from "@behalf/core";

/** What may end a call early: its deadline, its caller, or its adapter. */
export interface CallClock {
  readonly signal: AbortSignal;
  /** Why the call has to end, once it has to. */
  readonly stopped: BehalfError | undefined;
  /** Milliseconds for the server's own limit: it must answer before the client gives up. */
  serverMs(): number;
  readonly stop: (error: BehalfError) => void;
  /** Throws why the call has to end, if it has to. */
  check(): void;
  [Symbol.dispose](): void;
}

/** The server stops this long before the client, in milliseconds, or a tenth of the time if that is less. */
const SERVER_LEAD_MS = 200;

/**
 * @param deadlineMs longest time for the call, in milliseconds from now
 * @param outer the caller's own signal
 */
export function callClock(deadlineMs: number, outer: AbortSignal | undefined): CallClock {
  if (outer !== undefined && !(outer instanceof AbortSignal)) {
    throw new BehalfError("configuration", "[postgres] `signal` must be an AbortSignal", {
      reason: "signal",
    });
  }
  const controller = new AbortController();
  let stopped: BehalfError | undefined;
  const endsAt = performance.now() + deadlineMs;
  const timer = setTimeout(() => {
    stop(
      new BehalfError(
        "timeout",
        `[postgres] the deadline of ${deadlineMs} ms passed; ask for less, or give it a longer deadlineMs`,
      ),
    );
  }, deadlineMs);
  const onOuter = () => {
    stop(new BehalfError("cancelled", "[postgres] the caller cancelled the call"));
  };
  if (outer?.aborted) onOuter();
  else outer?.addEventListener("abort", onOuter, { once: true });

  function stop(error: BehalfError): void {
    stopped ??= error;
    controller.abort(error);
  }
  return {
    signal: controller.signal,
    get stopped() {
      return stopped;
    },
    serverMs() {
      const left = Math.max(1, endsAt - performance.now());
      return Math.max(1, Math.floor(left - Math.min(SERVER_LEAD_MS, left / 10)));
    },
    stop,
    check() {
      if (stopped) throw stopped;
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      outer?.removeEventListener("abort", onOuter);
    },
  };
}

/** Settles with `promise`, or rejects with the clock's reason as soon as there is one. */
export async function orStopped<T>(promise: Promise<T>, clock: CallClock): Promise<T> {
  // The loser of the race must not surface as an unhandled rejection.
  promise.catch(() => {});
  clock.check();
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const onAbort = () => {
    reject(clock.stopped);
  };
  clock.signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([promise, stopped]);
  } finally {
    clock.signal.removeEventListener("abort", onAbort);
  }
}
