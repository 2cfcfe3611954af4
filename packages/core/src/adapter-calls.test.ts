import { describe, expect, it } from "vitest";
import { ledger } from "../test-support/ledger.ts";
import { everythingOf, refused, why } from "../test-support/refused.ts";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import { adapterCalls } from "./adapter-calls.ts";
import type { AuditRecord, RecordSink } from "./audit-record.ts";
import { orStopped } from "./call-clock.ts";
import type { Credential, CredentialSource } from "./credential.ts";
import { BehalfError } from "./errors.ts";
import { memorySink } from "./memory-sink.ts";
import { Secret } from "./secret.ts";

const never = () => new Promise<never>(() => {});
const alice = { issuer: "https://a.test", subject: "alice" };

/** A sink whose records are durable only when `go` is called. */
function holding(kind: AuditRecord["kind"]) {
  const inner = memorySink();
  const held = Promise.withResolvers<void>();
  const waiting = Promise.withResolvers<void>();
  const sink: RecordSink = {
    async write(record) {
      if (record.kind === kind) {
        waiting.resolve();
        await held.promise;
      }
      await inner.write(record);
    },
    close: () => inner.close(),
  };
  return { sink, records: inner.records, waiting: waiting.promise, go: held.resolve };
}

/** A source that hands this out, whatever it is. */
function source(credential: () => unknown): CredentialSource {
  return {
    credential: async () => (await credential()) as Credential,
    invalidate: () => undefined,
  };
}

describe("options", () => {
  const good = {
    backend: "ledger",
    records: memorySink(),
    credentials: source(never),
  };
  it.each([
    ["backend", { backend: "" }],
    ["credentials", { credentials: {} as CredentialSource }],
    ["records", { records: {} as RecordSink }],
    ["deadlineMs", { deadlineMs: 0 }],
    ["deadlineMs", { deadlineMs: 2 ** 31 }],
    ["tasks", { tasks: "ignored" as "refused" }],
  ])("that are wrong are refused: %s", (name, more) => {
    expect(() => adapterCalls({ ...good, ...more })).toThrow(
      expect.objectContaining({ code: "configuration", message: expect.stringContaining(name) }),
    );
  });

  it.each([
    ["access", { access: "admin" as "read" }],
    ["signal", { signal: {} as AbortSignal }],
    ["undefined", { deadlineMs: 0.5 }],
  ])("of a run that are wrong leave a denied decision: %s", async (reason, options) => {
    const book = ledger();
    const error = await refused(book.run(sampleDelegation(), never, options, book.lifecycle));
    expect(`${error.code} ${error.reason}`).toBe(`configuration ${reason}`);
    expect(book.shown).toEqual([]);
    expect(book.records).toMatchObject([
      { decision: "deny", code: "configuration", access: "read", subject: alice },
    ]);
  });
});

describe("what a call stands on", () => {
  it.each([
    ["the human's token", (expiresAtMs: number) => ({ expiresAtMs }), "identity.expired"],
    ["the task", (expiresAtMs: number) => ({ task: { expiresAtMs } }), "task.scope_exceeded"],
  ])("ends it when it is over: %s", async (_, endingAt, code) => {
    const book = ledger({ tasks: "narrowed" });
    const sample = endingAt(Date.now() + 250);
    const error = await refused(
      book.run(sampleDelegation(sample), never, undefined, book.lifecycle),
    );
    expect(`${error.code} ${error.reason}`).toBe(`${code} expired`);
    expect(book.records.at(-1)).toMatchObject({ status: "error", code });
  });

  it("costs no timer where the deadline comes first", async () => {
    const book = ledger();
    const before = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    await book.run(
      sampleDelegation(),
      async () => {
        const now = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
        expect(now - before).toBe(1);
      },
      { deadlineMs: 5_000 },
      book.lifecycle,
    );
  });
});

describe("a task", () => {
  const task = { id: "task-1" };

  it("is refused before anything is sent where the backend cannot be told of it, and on record", async () => {
    const book = ledger();
    const error = await refused(
      book.run(sampleDelegation({ task }), never, undefined, book.lifecycle),
    );
    expect(`${error.code} ${error.reason}`).toBe("task.scope_exceeded task_unsupported");
    expect(book.shown).toEqual([]);
    expect(book.records).toMatchObject([
      { decision: "deny", code: "task.scope_exceeded", subject: alice, task: "task-1" },
    ]);
  });

  it("that is none says so, and not that tasks are refused", async () => {
    const book = ledger();
    const delegation = { ...sampleDelegation(), task: {} as never };
    const error = await refused(book.run(delegation, never, undefined, book.lifecycle));
    expect(`${error.code} ${error.reason}`).toBe("identity.rejected delegation");
  });

  it("goes on to an adapter that says that it narrows", async () => {
    const book = ledger({ tasks: "narrowed" });
    const given = await book.run(
      sampleDelegation({ task }),
      async () => "given",
      undefined,
      book.lifecycle,
    );
    expect(given).toBe("given");
  });
});

describe("a call", () => {
  const call = { delegation: sampleDelegation(), backend: "ledger", action: "sum" } as const;

  it("has the limits that its check gave, and notes what came of it", async () => {
    const book = ledger();
    const facts = { ...call, delegation: sampleDelegation(), access: "read" } as const;
    const check = () => ({ deadlineMs: 1_000, maxRows: 3 });
    const rows = await book.call(facts, {}, check, async ({ limits, note }) => {
      note({ rows: limits.maxRows });
      return limits.maxRows;
    });
    expect(rows).toBe(3);
    expect(book.records).toMatchObject([
      { decision: "allow", action: "sum", access: "read" },
      { status: "ok", rows: 3 },
    ]);
  });

  it("leaves a denied decision where its check throws, and does not run", async () => {
    const book = ledger();
    let hasRun = false;
    const check = () => {
      throw new BehalfError("statement.refused", "[ledger] nothing to sum");
    };
    const facts = { ...call, delegation: sampleDelegation(), access: "read" } as const;
    const error = await refused(
      book.call(facts, {}, check, async () => {
        hasRun = true;
      }),
    );
    expect([error.code, hasRun]).toEqual(["statement.refused", false]);
    expect(book.records).toMatchObject([{ decision: "deny", code: "statement.refused" }]);
  });

  it("is not run for a delegation that is stale", async () => {
    const book = ledger();
    const stale = sampleDelegation({ expiresAtMs: 1_000 });
    expect((await refused(book.write(stale, never))).code).toBe("identity.expired");
    expect(book.shown).toEqual([]);
    expect(book.records).toMatchObject([{ decision: "deny", code: "identity.expired" }]);
  });

  it("that was stopped says that its outcome could not be recorded", async () => {
    const leaving = new AbortController();
    const sink: RecordSink = {
      async write(record) {
        if (record.kind === "outcome") throw new Error("disk full");
      },
      close: async () => undefined,
    };
    const run = ledger({ records: sink }).write(
      sampleDelegation(),
      async () => {
        leaving.abort();
        await never();
      },
      { signal: leaving.signal },
    );
    expect(await refused(run)).toMatchObject({
      code: "records.unavailable",
      cause: { code: "cancelled" },
    });
  });

  it("whose caller has gone already is denied, so that no decision to allow it stands alone", async () => {
    const book = ledger();
    const error = await refused(
      book.write(sampleDelegation(), never, { signal: AbortSignal.abort() }),
    );
    expect([error.code, error.effect, book.shown]).toEqual(["cancelled", "none", []]);
    expect(book.records).toMatchObject([{ decision: "deny", code: "cancelled", subject: alice }]);
  });

  it("that was given up while its decision was written says so once that is durable", async () => {
    const { sink, records, waiting, go } = holding("decision");
    const book = ledger({ records: sink });
    const leaving = new AbortController();
    const run = refused(book.write(sampleDelegation(), never, { signal: leaving.signal }));
    await waiting;
    leaving.abort();
    expect((await run).code).toBe("cancelled");
    expect(records).toEqual([]);
    const closed = book.close();
    go();
    await closed;
    expect(records).toMatchObject([
      { decision: "allow" },
      { id: records[0]?.id, status: "error", code: "cancelled", effect: "none" },
    ]);
    expect(book.shown).toEqual([]);
  });

  it("waits for a decision that hangs no longer than its deadline", async () => {
    const { sink } = holding("decision");
    const book = ledger({ records: sink });
    const run = book.write(sampleDelegation(), never, { deadlineMs: 20 });
    expect(await refused(run)).toMatchObject({
      code: "records.unavailable",
      cause: { code: "timeout" },
    });
    expect(book.shown).toEqual([]);
  });
});

describe("a part of a call", () => {
  it("leaves a denied decision where its check throws, mapped", async () => {
    const book = ledger();
    const delegation = sampleDelegation();
    await book.write(delegation, async (session) => {
      expect(await why(session.write(""))).toBe("backend.failed unexpected");
    });
    expect(book.entries).toEqual([]);
    expect(book.records[1]).toMatchObject({
      decision: "deny",
      code: "backend.failed",
      partOf: delegation.callId,
    });
  });

  it("is stopped while its decision is written, and did not run then", async () => {
    const leaving = new AbortController();
    const inner = memorySink();
    const writing = Promise.withResolvers<void>();
    const sink: RecordSink = {
      async write(record) {
        await inner.write(record);
        if (record.kind !== "decision" || record.partOf === undefined) return;
        writing.resolve();
        await never();
      },
      close: () => inner.close(),
    };
    let part: Promise<unknown> = never();
    let uncommitted: readonly string[] | undefined;
    const run = ledger({ records: sink }).write(
      sampleDelegation(),
      async (session) => {
        part = session.write("one");
        part.catch(() => {});
        ({ uncommitted } = session);
        await writing.promise;
        leaving.abort();
        await never();
      },
      { signal: leaving.signal },
    );
    expect((await refused(run)).code).toBe("cancelled");
    expect((await refused(part)).code).toBe("cancelled");
    expect(uncommitted).toEqual([]);
  });
});

describe("the credential", () => {
  const fresh = { token: new Secret("t"), expiresAtMs: Date.now() + 60_000, audience: "ledger" };
  const ask = (credential: () => unknown, options = {}) => {
    const book = ledger({ credentials: source(credential) });
    return book.write(sampleDelegation(), async ({ call }) => call.credential(), options);
  };

  it("is asked for once per call", async () => {
    let times = 0;
    const book = ledger({
      credentials: source(() => {
        times += 1;
        return fresh;
      }),
    });
    await book.write(sampleDelegation(), async ({ call }) => {
      expect(await call.credential()).toBe(await call.credential());
    });
    expect(times).toBe(1);
  });

  it.each([
    ["nothing", undefined, "identity.unavailable unexpected"],
    ["no secret", { ...fresh, token: "t" }, "identity.unavailable unexpected"],
    ["no end", { ...fresh, expiresAtMs: undefined }, "identity.unavailable unexpected"],
    ["an end that is no number", { ...fresh, expiresAtMs: NaN }, "identity.unavailable unexpected"],
    ["one that is over", { ...fresh, expiresAtMs: Date.now() - 1 }, "identity.expired credential"],
    ["one that ends now", { ...fresh, expiresAtMs: Date.now() }, "identity.expired credential"],
  ])("is refused where the source gives %s", async (_, credential, reason) => {
    expect(await why(ask(() => credential))).toBe(reason);
  });

  it("is refused in the middle of a call, too, once its time is over", async () => {
    let isOver = false;
    const short = {
      ...fresh,
      get expiresAtMs() {
        return Date.now() + (isOver ? 0 : 60_000);
      },
    };
    const book = ledger({ credentials: source(() => short) });
    const run = book.write(sampleDelegation(), async ({ call }) => {
      await call.credential();
      isOver = true;
      await call.credential();
    });
    expect(await why(run)).toBe("identity.expired credential");
  });

  it("is taken as long as its time is not over: the control", async () => {
    expect(await ask(() => fresh)).toBe(fresh);
  });

  it("is not quoted where the source fails with something that is no BehalfError", async () => {
    const error = await refused(
      ask(() => {
        throw new SyntaxError("Unexpected token in ledger-token-of-alice");
      }),
    );
    expect(error).toMatchObject({ code: "identity.unavailable", nativeCode: "SyntaxError" });
    expect(everythingOf(error)).not.toContain("token-of-alice");
  });

  it("is refused with the source's own words where they are ours", async () => {
    const error = new BehalfError("identity.exchange_refused", "no", { reason: "access_denied" });
    expect(await why(ask(() => Promise.reject(error)))).toBe(
      "identity.exchange_refused access_denied",
    );
  });

  it("is waited for no longer than the call may take", async () => {
    expect((await refused(ask(never, { deadlineMs: 20 }))).code).toBe("timeout");
  });

  it("source is told when the call has to end, where it asks", async () => {
    const told = Promise.withResolvers<unknown>();
    const leaving = new AbortController();
    const credentials: CredentialSource = {
      credential(_, wait) {
        wait?.signal?.addEventListener("abort", () => told.resolve(wait.signal?.reason));
        leaving.abort();
        return never();
      },
      invalidate: () => undefined,
    };
    const run = ledger({ credentials }).write(sampleDelegation(), never, {
      signal: leaving.signal,
    });
    expect((await refused(run)).code).toBe("cancelled");
    expect(await told.promise).toMatchObject({ code: "cancelled" });
  });
});

describe("invalidate", () => {
  it("stops a call that waits for its record, and nothing was shown to the backend", async () => {
    const { sink, waiting, go } = holding("decision");
    const book = ledger({ records: sink });
    const run = refused(book.write(sampleDelegation(), never));
    await waiting;
    await book.invalidate(alice);
    go();
    expect((await run).code).toBe("identity.revoked");
    expect([book.shown, book.told]).toEqual([[], ["alice"]]);
  });

  it("stops a call that waits for its credential", async () => {
    const asked = Promise.withResolvers<void>();
    const credentials = source(() => {
      asked.resolve();
      return never();
    });
    const book = ledger({ credentials });
    const run = refused(book.write(sampleDelegation(), never));
    await asked.promise;
    await book.invalidate(alice);
    expect((await run).code).toBe("identity.revoked");
    expect(book.openSessions()).toBe(0);
  });

  it("stops work and undoes it, for this human and for nobody else", async () => {
    const book = ledger();
    const atWork = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const done = Promise.withResolvers<void>();
    const runs = ["alice", "bob"].map((subject, n) =>
      book.write(sampleDelegation({ subject }), async (session) => {
        await session.write(subject);
        atWork[n]?.resolve();
        await done.promise;
      }),
    );
    await Promise.all(atWork.map(({ promise }) => promise));
    await book.invalidate({ ...alice, issuer: "https://other.test" });
    await book.invalidate(alice);
    expect((await refused(runs[0] ?? never())).code).toBe("identity.revoked");
    done.resolve();
    await runs[1];
    expect(book.entries).toEqual(["bob"]);
    expect(book.records.find((record) => record.kind === "outcome" && "code" in record)).toEqual(
      expect.objectContaining({ code: "identity.revoked", effect: "none" }),
    );
  });

  it("leaves the effect of a commit that is under way unknown", async () => {
    const book = ledger();
    const run = book.write(
      sampleDelegation(),
      async () => 1,
      {},
      {
        async commit({ call }) {
          void book.invalidate(alice);
          await orStopped(never(), call.clock);
        },
      },
    );
    expect(await refused(run)).toMatchObject({ code: "identity.revoked", effect: "unknown" });
  });

  it.each([
    [
      "at once",
      () => {
        throw new Error("the cache is gone");
      },
    ],
    ["later", () => Promise.reject(new Error("the cache is gone"))],
  ])("stops calls, although the credential source fails %s", async (_, invalidate) => {
    const credentials = { ...source(never), invalidate: () => void 0 };
    Object.assign(credentials, { invalidate });
    const book = ledger({ credentials });
    const run = refused(book.write(sampleDelegation(), never));
    await expect(book.invalidate(alice)).rejects.toThrow("the cache is gone");
    expect((await run).code).toBe("identity.revoked");
  });
});

describe("close", () => {
  it("waits for calls that run, and refuses others, each with a denied decision", async () => {
    const book = ledger();
    const done = Promise.withResolvers<void>();
    const run = book.write(sampleDelegation(), async (session) => {
      await done.promise;
      await session.write("in time");
    });
    let isClosed = false;
    const closed = book.close().then(() => {
      isClosed = true;
    });
    const late = sampleDelegation();
    const error = await refused(book.write(late, never));
    expect(error).toMatchObject({ code: "closed", message: "[ledger] the adapter is closed" });
    expect(book.records.find(({ id }) => id === late.callId)).toMatchObject({
      decision: "deny",
      code: "closed",
    });
    expect(isClosed).toBe(false);
    done.resolve();
    await Promise.all([run, closed]);
    expect(book.entries).toEqual(["in time"]);
    await book.close();
  });
});
