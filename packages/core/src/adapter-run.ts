import { type CallClock, orStopped } from "./call-clock.ts";
import { CallerFailure, type MapError } from "./checked-call.ts";
import { BehalfError } from "./errors.ts";
import type { OpenCall } from "./open-call.ts";
import { withUnknownEffect } from "./unexpected-error.ts";

/** How one adapter's session begins and ends. */
export interface SessionLifecycle<S> {
  /** Makes the session. What it opened before it throws, it closes itself. */
  open(call: OpenCall): S | Promise<S>;
  /**
   * Makes the changes of a write permanent, after the work succeeded; a read may be ended, too. A BehalfError
   * passes with its own effect. Anything else, and a clock that stopped meanwhile, means for a write that
   * nobody knows: effect `unknown`.
   */
  commit?(session: S): Promise<void>;
  /**
   * Always, at the end: whatever was not committed is undone, and the connection given back. Where the call
   * was stopped, its work may still go on. It has until the clock stops, and one second then. Where it
   * fails, so does a call that had succeeded.
   */
  giveUp?(session: S): Promise<void>;
  /**
   * Whether a write whose work failed may have changed something. Default is `none` with a `commit`, which
   * was not reached, and `unknown` without.
   */
  effect?(session: S): "none" | "unknown";
}

/** How long an end that has begun is waited for when the call has to end, in milliseconds. */
const GRACE_MS = 1_000;

/** {@link Adapter.run} between its records: opens the session, runs the work, commits, gives up. */
export async function runSession<S, T>(
  call: OpenCall,
  work: (session: S) => Promise<T>,
  lifecycle: SessionLifecycle<S>,
  parts: {
    readonly backend: string;
    readonly mapError: MapError;
    /** Is told what goes on when the call is over. */
    readonly leave: (ending: Promise<unknown>) => void;
  },
): Promise<T> {
  const { clock } = call;
  const { backend, mapError, leave } = parts;
  let opened: { readonly session: S } | null = null;
  let phase: "open" | "work" | "commit" | "end" = "open";
  let result: { readonly value: T } | { readonly error: unknown };
  try {
    const opening = lifecycle.open(call);
    const session = isThenable(opening) ? await inTime(Promise.resolve(opening)) : opening;
    opened = { session };
    phase = "work";
    clock.check();
    // Only what the callback itself threw passes untouched.
    const callback = async () => {
      try {
        return await work(session);
      } catch (error) {
        throw new CallerFailure(error);
      }
    };
    const value = await orStopped(callback(), clock);
    if (lifecycle.commit !== undefined) {
      clock.check();
      phase = "commit";
      await orLate(lifecycle.commit(session), clock);
    }
    result = { value };
  } catch (error) {
    result = { error };
  }
  try {
    if (opened !== null && lifecycle.giveUp !== undefined) {
      const ending = lifecycle.giveUp(opened.session);
      leave(ending);
      await orLate(ending, clock);
    }
  } catch (error) {
    // Why the work failed says more.
    if ("value" in result) {
      phase = "end";
      result = { error };
    }
  }
  // For what a callback kept.
  clock.stop(ended(backend));
  if ("error" in result) throw failure(result.error);
  return result.value;

  // A session that arrives after the call is given up, too.
  async function inTime(opening: Promise<S>): Promise<S> {
    try {
      return await orStopped(opening, clock);
    } catch (error) {
      leave(opening.then((session) => lifecycle.giveUp?.(session)));
      throw error;
    }
  }

  function effect(): "none" | "unknown" {
    if (call.access === "read" || opened === null) return "none";
    if (phase !== "work") return "unknown";
    const byDefault = lifecycle.commit === undefined ? "unknown" : "none";
    try {
      return lifecycle.effect?.(opened.session) ?? byDefault;
    } catch {
      // Why the work failed says more, and nobody knows now.
      return "unknown";
    }
  }

  function failure(error: unknown): unknown {
    const its = effect();
    call.note({ effect: its });
    if (error instanceof CallerFailure) {
      const { thrown } = error;
      const isUncertain = its === "unknown" && BehalfError.isInstance(thrown);
      return isUncertain ? new CallerFailure(withUnknownEffect(thrown)) : error;
    }
    // What the commit said itself, it knows better.
    const isItsOwn = BehalfError.isInstance(error) && error !== clock.stopped;
    if (phase === "commit" && isItsOwn) return error;
    const mapped = mapError(error);
    return its === "unknown" ? withUnknownEffect(mapped) : mapped;
  }
}

/** Also a promise of a driver's own kind: one that is taken for a session would be handed to the work. */
function isThenable<S>(opening: S | PromiseLike<S>): opening is PromiseLike<S> {
  return (
    typeof opening === "object" &&
    opening !== null &&
    "then" in opening &&
    typeof opening.then === "function"
  );
}

/** Settles with `ending`, or rejects with the clock's reason one second after there was one. */
function orLate<T>(ending: Promise<T>, clock: CallClock): Promise<T> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const forget = clock.onStop((reason) => {
      timer = setTimeout(() => reject(reason), GRACE_MS);
    });
    const leave = () => {
      forget();
      clearTimeout(timer);
    };
    ending.then(
      (value) => {
        leave();
        resolve(value);
      },
      (error: unknown) => {
        leave();
        reject(error);
      },
    );
  });
}

/** Waits for what calls left behind, but for no more than one second. */
export async function settledSoon(endings: Iterable<Promise<unknown>>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, GRACE_MS);
  await Promise.race([Promise.allSettled(endings), promise]);
  clearTimeout(timer);
}

function ended(backend: string): BehalfError {
  return new BehalfError(
    "closed",
    `[${backend}] the call has ended; use the session inside its callback`,
    { backend },
  );
}
