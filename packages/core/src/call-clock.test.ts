import { describe, expect, it } from "vitest";
import { callClock, orStopped } from "./call-clock.ts";
import { BehalfError } from "./errors.ts";

const withdrawn = new BehalfError("identity.revoked", "withdrawn");
const never = new Promise<never>(() => {});

describe("what is waited for", () => {
  it("settles as the promise does", async () => {
    using clock = callClock(60_000, undefined, "demo");
    expect(await orStopped(Promise.resolve(1), clock)).toBe(1);
    const lost = new Error("lost");
    await expect(orStopped(Promise.reject(lost), clock)).rejects.toBe(lost);
  });

  it("ends with the first reason to stop, and not with a later one", async () => {
    using clock = callClock(60_000, undefined, "demo");
    const waits = [never, never].map((promise) => orStopped(promise, clock));
    clock.stop(withdrawn);
    clock.stop(new BehalfError("cancelled", "later"));
    for (const wait of waits) await expect(wait).rejects.toBe(withdrawn);
    expect(clock.stopped).toBe(withdrawn);
  });

  it("is not waited for once the call has to end, and may fail afterwards", async () => {
    using clock = callClock(60_000, undefined, "demo");
    const late = Promise.withResolvers<never>();
    const wait = orStopped(late.promise, clock);
    clock.stop(withdrawn);
    await expect(wait).rejects.toBe(withdrawn);
    await expect(orStopped(Promise.resolve(1), clock)).rejects.toBe(withdrawn);
    await expect(orStopped(Promise.reject(new Error("late")), clock)).rejects.toBe(withdrawn);
    // An unhandled rejection fails the run.
    late.reject(new Error("late"));
    await new Promise(setImmediate);
  });
});

describe("a listener", () => {
  it("that throws keeps nobody else from being told", () => {
    using clock = callClock(60_000, undefined, "demo");
    const told: string[] = [];
    const throwing = () => {
      throw new TypeError("the socket is gone");
    };
    clock.onStop(throwing);
    clock.onStop(({ code }) => void told.push(code));
    const { signal } = clock;
    clock.stop(withdrawn);
    clock.onStop(throwing);
    expect(told).toEqual(["identity.revoked"]);
    expect(signal.reason).toBe(withdrawn);
  });

  it("is told once, at once where the call has to end already, and never when it was forgotten", () => {
    using clock = callClock(60_000, undefined, "demo");
    const told: string[] = [];
    clock.onStop(() => told.push("kept"));
    clock.onStop(() => told.push("forgotten"))();
    clock.stop(withdrawn);
    clock.stop(withdrawn);
    clock.onStop(() => told.push("late"))();
    expect(told).toEqual(["kept", "late"]);
  });
});

describe("the signal", () => {
  it.each(["before", "after"])("fires where it was asked for %s the end", (when) => {
    using clock = callClock(60_000, undefined, "demo");
    const early = when === "before" ? clock.signal : undefined;
    clock.stop(withdrawn);
    const signal = early ?? clock.signal;
    expect([signal.aborted, signal.reason, clock.signal]).toEqual([true, withdrawn, signal]);
  });

  it("of the caller ends the call, also one that fired before it began", () => {
    const caller = new AbortController();
    using clock = callClock(60_000, caller.signal, "demo");
    expect(clock.stopped).toBeUndefined();
    caller.abort();
    using late = callClock(60_000, caller.signal, "demo");
    for (const { stopped } of [clock, late]) expect(stopped?.code).toBe("cancelled");
  });
});
