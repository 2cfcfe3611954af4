import { describe, expect, it } from "vitest";
import { ledger } from "../test-support/ledger.ts";
import { everythingOf, refused } from "../test-support/refused.ts";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import { BehalfError } from "./errors.ts";
import type { OpenCall } from "./open-call.ts";

const never = () => new Promise<never>(() => {});

describe("a run that succeeds", () => {
  it("is recorded before the session is opened, is committed and given up", async () => {
    const book = ledger();
    const delegation = sampleDelegation();
    let recordsAtOpen = 0;
    const open = (call: OpenCall) => {
      recordsAtOpen = book.records.length;
      expect(call).toMatchObject({ callId: delegation.callId, access: "write", delegation });
      expect(call.limits).toEqual({ deadlineMs: 30_000 });
      return book.lifecycle.open(call);
    };
    const value = await book.write(
      delegation,
      async (session) => {
        await session.write("one");
        expect(book.entries).toEqual([]);
        return 7;
      },
      {},
      { open },
    );
    expect([value, recordsAtOpen, book.entries, book.openSessions()]).toEqual([7, 1, ["one"], 0]);
    expect(book.records).toMatchObject([
      { kind: "decision", decision: "allow", id: delegation.callId, action: "run" },
      { kind: "decision", decision: "allow", partOf: delegation.callId, action: "write" },
      { kind: "outcome", status: "ok" },
      { kind: "outcome", status: "ok", id: delegation.callId },
    ]);
  });

  it("needs no commit and no end, and no promise to open", async () => {
    const book = ledger();
    const open = (call: OpenCall) => call.access;
    expect(await book.run(sampleDelegation(), async (access) => access, undefined, { open })).toBe(
      "read",
    );
  });
});

describe("a session that a driver's own kind of promise brings", () => {
  it("is waited for, and not taken for the session", async () => {
    const book = ledger();
    const open = (call: OpenCall) => {
      const opening = book.lifecycle.open(call);
      // As query builders do: a promise that is none.
      const then = opening instanceof Promise ? opening.then.bind(opening) : never;
      // oxlint-disable-next-line unicorn/no-thenable
      return { then } as never;
    };
    await book.write(sampleDelegation(), (session) => session.write("one"), {}, { open });
    expect([book.entries, book.openSessions()]).toEqual([["one"], 0]);
  });
});

describe("a run whose work throws", () => {
  it("throws the very same, is undone, and has had no effect", async () => {
    const book = ledger();
    const mine = new TypeError("mine");
    const run = book.write(sampleDelegation(), async (session) => {
      await session.write("one");
      throw mine;
    });
    await expect(run).rejects.toBe(mine);
    expect([book.entries, book.openSessions()]).toEqual([[], 0]);
    expect(book.records.at(-1)).toMatchObject({ status: "error", effect: "none" });
    expect(book.records.at(-1)).not.toHaveProperty("code");
  });

  it("keeps the code of a BehalfError, which gets the call id", async () => {
    const book = ledger();
    const delegation = sampleDelegation();
    const denied = new BehalfError("backend.denied", "no", { reason: "its own" });
    const error = await refused(book.write(delegation, () => Promise.reject(denied)));
    expect(error).toMatchObject({
      code: "backend.denied",
      reason: "its own",
      callId: delegation.callId,
      effect: "none",
    });
  });
});

describe("what the driver throws", () => {
  const leak = Object.assign(new RangeError("bad header: Bearer ledger-token-of-alice"), {
    code: "ERR_HEADER",
  });
  const fails = { open: () => Promise.reject(leak) };

  it("is told by its name and its code, and never by its message", async () => {
    const book = ledger();
    const error = await refused(book.write(sampleDelegation(), never, {}, fails));
    expect(error).toMatchObject({
      code: "backend.failed",
      reason: "unexpected",
      nativeCode: "ERR_HEADER",
      backend: "ledger",
      effect: "none",
      message: expect.stringMatching(/^\[ledger\].*\(RangeError\)/),
    });
    expect(everythingOf([error, book.records])).not.toContain("token-of-alice");
  });

  it("is mapped by the adapter, which is handed neither a BehalfError nor the caller's own", async () => {
    const handed: unknown[] = [];
    const book = ledger({
      mapError(error) {
        handed.push(error);
        return new BehalfError("backend.unavailable", "gone");
      },
    });
    const error = await refused(book.write(sampleDelegation(), never, {}, fails));
    expect(error.code).toBe("backend.unavailable");
    const mine = new TypeError("mine");
    await expect(book.write(sampleDelegation(), () => Promise.reject(mine))).rejects.toBe(mine);
    const full = new BehalfError("limit.exceeded", "full");
    const open = () => Promise.reject(full);
    expect((await refused(book.write(sampleDelegation(), never, {}, { open }))).code).toBe(
      "limit.exceeded",
    );
    expect(handed).toEqual([leak]);
  });
});

describe("a mapping that fails itself", () => {
  const broken = [
    [
      "throws",
      () => {
        throw new TypeError("cannot read ledger-token-of-alice");
      },
    ],
    ["gives nothing", () => undefined as never],
    ["gives another error", () => new Error("ledger-token-of-alice") as never],
  ] as const;

  it.each(broken)("is passed over, and the call is on record: it %s", async (_, mapError) => {
    const book = ledger({ mapError });
    const commit = () => Promise.reject(new RangeError("reset"));
    const error = await refused(book.write(sampleDelegation(), async () => 1, {}, { commit }));
    expect(error).toMatchObject({
      code: "backend.failed",
      reason: "unexpected",
      effect: "unknown",
    });
    expect(error.message).toContain("RangeError");
    expect(everythingOf([error, book.records])).not.toContain("token-of-alice");
    const facts = { backend: "ledger", action: "sum", access: "read" } as const;
    const check = () => {
      throw new RangeError("no such limit");
    };
    const denied = { ...facts, delegation: sampleDelegation() };
    expect((await refused(book.call(denied, {}, check, never))).code).toBe("backend.failed");
    expect(book.records).toMatchObject([
      { decision: "allow" },
      { status: "error", effect: "unknown" },
      { decision: "deny", code: "backend.failed" },
    ]);
  });
});

describe("the effect of a write that fails", () => {
  const reset = new Error("socket hang up");

  it("is unknown where the commit fails in a way that nobody mapped", async () => {
    const book = ledger();
    const commit = () => Promise.reject(reset);
    const error = await refused(book.write(sampleDelegation(), async () => 1, {}, { commit }));
    expect(error).toMatchObject({ code: "backend.failed", effect: "unknown" });
    expect(error.message).toContain("look before you try again");
    expect(book.records.at(-1)).toMatchObject({ effect: "unknown" });
    expect(book.openSessions()).toBe(0);
  });

  it.each(["none", "unknown"] as const)("is %s where the commit itself says so", async (effect) => {
    const book = ledger();
    const said = new BehalfError("backend.failed", "a constraint", { effect });
    const commit = () => Promise.reject(said);
    const error = await refused(book.write(sampleDelegation(), async () => 1, {}, { commit }));
    expect(error).toMatchObject({ message: "a constraint", effect });
    expect(book.records.at(-1)).toMatchObject({ effect });
  });

  it("is unknown without a commit, as long as the adapter knows no better", async () => {
    const book = ledger();
    const open = (call: OpenCall) => book.lifecycle.open(call);
    const failed = new BehalfError("backend.failed", "500");
    const run = (effect?: () => "none" | "unknown") =>
      refused(
        book.run(
          sampleDelegation(),
          () => Promise.reject(failed),
          { access: "write" },
          { open, ...(effect === undefined ? {} : { effect }) },
        ),
      );
    expect((await run()).effect).toBe("unknown");
    expect((await run(() => "unknown")).effect).toBe("unknown");
    expect((await run(() => "none")).effect).toBe("none");
    const throws = () => {
      throw new TypeError("the session is gone");
    };
    expect(await run(throws)).toMatchObject({
      message: expect.stringMatching(/^500/),
      effect: "unknown",
    });
  });

  it("is unknown where only its end failed, and a read fails then, too", async () => {
    const book = ledger();
    const giveUp = () => Promise.reject(reset);
    const write = await refused(book.write(sampleDelegation(), async () => 1, {}, { giveUp }));
    expect(write).toMatchObject({ code: "backend.failed", effect: "unknown" });
    const read = book.write(sampleDelegation(), async () => 1, { access: "read" }, { giveUp });
    expect(await refused(read)).toMatchObject({ code: "backend.failed", effect: "none" });
  });

  it("names why the work failed where the end fails, too", async () => {
    const book = ledger();
    const mine = new TypeError("mine");
    const giveUp = () => Promise.reject(reset);
    const run = book.write(sampleDelegation(), () => Promise.reject(mine), {}, { giveUp });
    await expect(run).rejects.toBe(mine);
  });
});

describe("a run that has to end", () => {
  it("ends at its deadline, although its work never does", async () => {
    const book = ledger({ deadlineMs: 60_000 });
    const delegation = sampleDelegation();
    const error = await refused(book.write(delegation, never, { deadlineMs: 20 }));
    expect(error).toMatchObject({ code: "timeout", effect: "none", callId: delegation.callId });
    expect(book.records.at(-1)).toMatchObject({ status: "error", code: "timeout" });
    expect(book.openSessions()).toBe(0);
  });

  it("ends when its caller gives up, and what the session waits for ends with it", async () => {
    const book = ledger();
    const leaving = new AbortController();
    const hanging = Promise.withResolvers<unknown>();
    const run = book.write(
      sampleDelegation(),
      async (session) => {
        session.hang().catch(hanging.resolve);
        leaving.abort();
        await never();
      },
      { signal: leaving.signal },
    );
    expect((await refused(run)).code).toBe("cancelled");
    expect(await hanging.promise).toMatchObject({ code: "cancelled" });
  });

  it("gives a session up that arrives only afterwards, and close() waits for that", async () => {
    const book = ledger();
    const leaving = new AbortController();
    const arriving = Promise.withResolvers<void>();
    const open = async (call: OpenCall) => {
      const session = await book.lifecycle.open(call);
      leaving.abort();
      await arriving.promise;
      return session;
    };
    const run = book.write(sampleDelegation(), never, { signal: leaving.signal }, { open });
    expect((await refused(run)).code).toBe("cancelled");
    expect(book.openSessions()).toBe(1);
    const closed = book.close();
    arriving.resolve();
    await closed;
    expect(book.openSessions()).toBe(0);
  });

  it("waits for a commit or an end that hangs no longer than one second more", async () => {
    const hang = (phase: "commit" | "giveUp", access: "read" | "write") => {
      const leaving = new AbortController();
      const more = {
        [phase]: () => {
          leaving.abort();
          return never();
        },
      };
      const options = { access, signal: leaving.signal };
      return refused(ledger().write(sampleDelegation(), async () => 1, options, more));
    };
    const before = performance.now();
    const errors = await Promise.all([
      hang("commit", "write"),
      hang("commit", "read"),
      hang("giveUp", "write"),
      hang("giveUp", "read"),
    ]);
    expect(errors.map(({ code, effect }) => `${code} ${effect}`)).toEqual([
      "cancelled unknown",
      "cancelled none",
      "cancelled unknown",
      "cancelled none",
    ]);
    expect(performance.now() - before).toBeLessThan(5_000);
  });

  it("has its commit's own word where that comes within the second", async () => {
    const book = ledger();
    const leaving = new AbortController();
    const commit = async () => {
      leaving.abort();
      await new Promise(setImmediate);
      throw new BehalfError("cancelled", "its own word", { effect: "unknown" });
    };
    const { signal } = leaving;
    const run = book.write(sampleDelegation(), async () => 1, { signal }, { commit });
    expect((await refused(run)).message).toBe("its own word");
  });

  it("begins no commit once it has to end, in whichever instant that is", async () => {
    const ended = new Set<string>();
    // One of these falls between the end of the work and the commit.
    for (let instants = 0; instants < 20; instants += 1) {
      const leaving = new AbortController();
      const abort = async () => {
        for (let n = 0; n < instants; n += 1) await Promise.resolve();
        leaving.abort();
      };
      const run = ledger().write(
        sampleDelegation(),
        async () => void abort(),
        { signal: leaving.signal },
        { commit: async ({ call }) => void ended.add(`committed ${call.clock.stopped?.code}`) },
      );
      await run.catch((error: BehalfError) => ended.add(`${error.code} ${error.effect}`));
    }
    expect(ended).toEqual(new Set(["cancelled none", "committed undefined"]));
  });
});

describe("a session that was kept", () => {
  it("does nothing after its run, and the outcome stays as it was", async () => {
    const book = ledger();
    const delegation = sampleDelegation();
    const hanging = Promise.withResolvers<unknown>();
    let asked: AbortSignal | undefined;
    const kept = await book.write(delegation, async (session) => {
      session.hang().catch(hanging.resolve);
      asked = session.call.clock.signal;
      await session.call.credential();
      return session;
    });
    const records = book.records.length;
    const { clock } = kept.call;
    const closed = {
      code: "closed",
      message: "[ledger] the call has ended; use the session inside its callback",
    };
    expect(() => clock.check()).toThrow(expect.objectContaining(closed));
    expect(asked?.reason).toMatchObject(closed);
    expect(await hanging.promise).toMatchObject(closed);
    expect(await refused(kept.call.credential())).toMatchObject(closed);
    expect(await refused(kept.write("late"))).toMatchObject(closed);
    expect(kept.uncommitted).toEqual([]);
    // The attempt is on record, and the outcome of the call was not touched.
    const later = book.records.slice(records);
    expect(later).toMatchObject([{ decision: "deny", code: "closed", partOf: delegation.callId }]);
    expect(book.records[records - 1]).toMatchObject({ id: delegation.callId, status: "ok" });
  });

  it("would have gone on inside its callback: the control", async () => {
    const book = ledger();
    await book.write(sampleDelegation(), async (session) => {
      await session.call.credential();
      session.call.clock.check();
      await session.write("in time");
    });
    expect(book.entries).toEqual(["in time"]);
  });

  it("is stopped where its run failed, too", async () => {
    const book = ledger();
    let kept: OpenCall | undefined;
    const run = book.write(sampleDelegation(), async ({ call }) => {
      kept = call;
      throw new TypeError("mine");
    });
    await expect(run).rejects.toThrow("mine");
    expect(kept?.clock.stopped?.code).toBe("closed");
  });
});
