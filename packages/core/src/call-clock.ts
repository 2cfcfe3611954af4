import { BehalfError } from "./errors.ts";

/** What may end a call early: its deadline, its caller, or its adapter. */
export interface CallClock {
  /**
   * Fires when the call has to end, with the same BehalfError as its reason. For code of others; within an
   * adapter {@link CallClock.onStop} does, and costs less.
   */
  readonly signal: AbortSignal;
  /** Why the call has to end, once it has to. */
  readonly stopped: BehalfError | undefined;
  /** Milliseconds for the server's own limit: it must answer before the client gives up. */
  serverMs(): number;
  /** Ends the call with this error. Only the first one counts. */
  readonly stop: (error: BehalfError) => void;
  /**
   * Ends the call in so many milliseconds, where that comes before its deadline: when what it stands on is
   * over.
   */
  stopIn(ms: number, error: () => BehalfError): void;
  /**
   * Tells `listener` once, when the call has to end, or at once where it has to already. What it throws is
   * dropped: the others are told all the same.
   *
   * @returns what forgets the listener
   */
  onStop(listener: (error: BehalfError) => void): () => void;
  /** Throws why the call has to end, if it has to. */
  check(): void;
  /** Forgets the deadline and the caller's signal. */
  [Symbol.dispose](): void;
}

/** The server stops this long before the client, in milliseconds, or a tenth of the time if that is less. */
const SERVER_LEAD_MS = 200;

/**
 * The clock of one call. {@link adapterCalls} makes one for each; an adapter makes its own for what it does
 * for no call, such as asking whether its backend is ready.
 *
 * @param deadlineMs longest time for the call, in milliseconds from now, at most 2,147,483,647
 * @param outer the caller's own signal
 * @param backend the adapter's name, with which messages begin
 * @throws BehalfError `configuration` (reason `signal`) when `outer` is no AbortSignal
 * @example
 * ```ts
 * using clock = callClock(5_000, options.signal, "demo");
 * const answer = await orStopped(client.ask(question), clock);
 * ```
 */
export function callClock(
  deadlineMs: number,
  outer: AbortSignal | undefined,
  backend: string,
): CallClock {
  if (outer !== undefined && !(outer instanceof AbortSignal)) {
    throw new BehalfError("configuration", `[${backend}] \`signal\` must be an AbortSignal`, {
      reason: "signal",
    });
  }
  // A set, not an event target: several waits of each call enter and leave it, for 6 us less a call.
  const listeners = new Set<(error: BehalfError) => void>();
  let controller: AbortController | undefined;
  let stopped: BehalfError | undefined;
  const endsAt = performance.now() + deadlineMs;
  const timer = setTimeout(() => {
    stop(
      new BehalfError(
        "timeout",
        `[${backend}] the deadline of ${deadlineMs} ms passed; ask for less, or give it a longer deadlineMs`,
      ),
    );
  }, deadlineMs);
  const timers = [timer];
  const onOuter = () => {
    stop(new BehalfError("cancelled", `[${backend}] the caller cancelled the call`));
  };
  if (outer?.aborted) onOuter();
  else outer?.addEventListener("abort", onOuter, { once: true });

  function stop(error: BehalfError): void {
    if (stopped) return;
    stopped = error;
    for (const listener of listeners) tell(listener, error);
    listeners.clear();
    controller?.abort(error);
  }
  return {
    get signal() {
      if (controller === undefined) {
        controller = new AbortController();
        if (stopped) controller.abort(stopped);
      }
      return controller.signal;
    },
    get stopped() {
      return stopped;
    },
    serverMs() {
      const left = Math.max(1, endsAt - performance.now());
      return Math.max(1, Math.floor(left - Math.min(SERVER_LEAD_MS, left / 10)));
    },
    stop,
    stopIn(ms, error) {
      // Most proofs outlive their calls by far, and cost no timer.
      if (performance.now() + ms < endsAt) {
        timers.push(setTimeout(() => stop(error()), Math.max(0, ms)));
      }
    },
    onStop(listener) {
      if (stopped) {
        tell(listener, stopped);
        return ignore;
      }
      listeners.add(listener);
      return () => {
        listeners.delete(listener);
      };
    },
    check() {
      if (stopped) throw stopped;
    },
    [Symbol.dispose]() {
      for (const one of timers) clearTimeout(one);
      outer?.removeEventListener("abort", onOuter);
    },
  };
}

/**
 * Settles with `promise`, or rejects with the clock's reason as soon as there is one. The promise itself
 * goes on, and may fail unheard.
 *
 * @throws BehalfError why the call has to end, or what `promise` rejects with
 * @example
 * ```ts
 * await orStopped(connecting, call.clock);
 * ```
 */
export function orStopped<T>(promise: Promise<T>, clock: CallClock): Promise<T> {
  return new Promise((resolve, reject) => {
    const forget = clock.onStop(reject);
    promise.then(
      (value) => {
        forget();
        resolve(value);
      },
      (error: unknown) => {
        forget();
        reject(error);
      },
    );
  });
}

/** One that throws keeps nobody else from being told: not its own call, and not the next one to be revoked. */
function tell(listener: (error: BehalfError) => void, error: BehalfError): void {
  try {
    listener(error);
  } catch {
    // The call ends all the same, and says why it had to.
  }
}

function ignore(): void {}
