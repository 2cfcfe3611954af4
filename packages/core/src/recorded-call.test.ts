import { beforeEach, describe, expect, it } from "vitest";
import { everythingOf, refused } from "../test-support/refused.ts";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import type { AuditRecord, RecordSink } from "./audit-record.ts";
import { statementHash, type CallFacts } from "./decision-record.ts";
import { BehalfError } from "./errors.ts";
import { memorySink } from "./memory-sink.ts";
import { recordDenied, recordedCall } from "./recorded-call.ts";

let delegation = sampleDelegation({ tool: "find_orders", task: {} });
beforeEach(() => {
  delegation = sampleDelegation({ tool: "find_orders", task: {} });
});
const call = (more: Partial<CallFacts> = {}): CallFacts => ({
  delegation,
  backend: "postgres",
  action: "query",
  access: "read",
  statement: "select 'alice@example.com'",
  ...more,
});

/** A sink that fails on its nth record. */
function failing(nth: number): RecordSink & { records: AuditRecord[] } {
  const records: AuditRecord[] = [];
  let count = 0;
  return {
    records,
    async write(record) {
      count += 1;
      if (count === nth) throw new Error("disk full");
      records.push(record);
    },
    close: async () => undefined,
  };
}

describe("a call that succeeds", () => {
  it("finds its decision written, and leaves its outcome", async () => {
    const sink = memorySink();
    const result = await recordedCall(sink, call(), async (note) => {
      expect(sink.records).toHaveLength(1);
      note({ rows: 1, native: { pid: 7 } });
      note({ rows: 2, bytes: 10, truncated: null });
      return "rows";
    });
    expect(result).toBe("rows");
    const [decision, outcome] = sink.records;
    expect(decision).toEqual({
      v: 1,
      kind: "decision",
      id: delegation.callId,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      decision: "allow",
      subject: { issuer: "https://a.test", subject: "alice" },
      actors: [{ subject: "agent-7", profile: "ai_agent" }],
      token: {
        tokenId: "jti-1",
        clientId: "agent-host",
        expiresAtMs: delegation.identity.expiresAtMs,
      },
      task: "task-1",
      tool: "find_orders",
      backend: "postgres",
      action: "query",
      access: "read",
      statementHash: statementHash("select 'alice@example.com'"),
    });
    expect(outcome).toEqual({
      v: 1,
      kind: "outcome",
      id: delegation.callId,
      time: expect.any(String),
      status: "ok",
      rows: 2,
      bytes: 10,
      truncated: null,
      native: { pid: 7 },
      durationMs: expect.any(Number),
    });
  });

  it("waits for the decision to be durable before it starts", async () => {
    const durable = Promise.withResolvers<void>();
    let isRunning = false;
    const sink: RecordSink = { write: () => durable.promise, close: async () => undefined };
    const running = recordedCall(sink, call(), async () => {
      isRunning = true;
    });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(isRunning).toBe(false);
    durable.resolve();
    await running;
    expect(isRunning).toBe(true);
  });

  it("records the text of its statement only when told to", async () => {
    const sink = memorySink();
    await recordedCall(sink, call(), async () => 0);
    expect(JSON.stringify(sink.records)).not.toContain("alice@example.com");
    await recordedCall(sink, call({ recordStatement: true }), async () => 0);
    expect(sink.records[2]).toMatchObject({ statement: "select 'alice@example.com'" });
  });

  it("never has the token in its records", async () => {
    const sink = memorySink();
    await recordedCall(sink, call(), async () => 0);
    expect(everythingOf(sink.records)).not.toContain(delegation.identity.token.reveal());
  });
});

describe("a call that fails", () => {
  it("leaves code, native code and effect, and throws the error keyed on the call", async () => {
    const sink = memorySink();
    const cause = new Error("beneath");
    const error = await refused(
      recordedCall(sink, call({ access: "write" }), async (note) => {
        note({ native: { pid: 7 } });
        const facts = { nativeCode: "57P01", effect: "unknown", cause } as const;
        throw new BehalfError("backend.unavailable", "gone", facts);
      }),
    );
    expect(error).toMatchObject({ callId: delegation.callId, backend: "postgres", cause });
    expect(sink.records[1]).toMatchObject({
      status: "error",
      code: "backend.unavailable",
      nativeCode: "57P01",
      effect: "unknown",
      native: { pid: 7 },
    });
  });

  it.each([
    ["read", undefined, "none"],
    ["write", undefined, "unknown"],
    ["write", "none", "none"],
  ] as const)(
    "with an error of the caller's own: %s, noted %s, effect %s",
    async (access, noted, effect) => {
      const sink = memorySink();
      const mine = new TypeError("mine");
      const work = recordedCall(sink, call({ access }), async (note) => {
        if (noted !== undefined) note({ effect: noted });
        throw mine;
      });
      await expect(work).rejects.toBe(mine);
      expect(sink.records[1]).toMatchObject({ status: "error", effect });
      expect(sink.records[1]).not.toHaveProperty("code");
    },
  );
});

describe("without a record", () => {
  it("of the decision, the work does not run", async () => {
    let isRunning = false;
    const error = await refused(
      recordedCall(failing(1), call(), async () => {
        isRunning = true;
      }),
    );
    expect(isRunning).toBe(false);
    expect(error).toMatchObject({
      code: "records.unavailable",
      effect: "none",
      backend: "postgres",
    });
    expect(error.callId).toBe(delegation.callId);
  });

  it.each([
    ["read", "none"],
    ["write", "unknown"],
  ] as const)("of the outcome, a %s fails with effect %s", async (access, effect) => {
    const error = await refused(recordedCall(failing(2), call({ access }), async () => "done"));
    expect(error).toMatchObject({ code: "records.unavailable", effect });
  });

  it("of a failure, what the work said is the cause", async () => {
    const cause = new BehalfError("backend.denied", "no");
    const error = await refused(
      recordedCall(failing(2), call({ access: "write" }), () => Promise.reject(cause)),
    );
    expect(error).toMatchObject({ code: "records.unavailable", effect: "none", cause });
  });

  it("of a refusal, the refusal is the cause", async () => {
    const cause = new BehalfError("task.required", "a task is needed");
    const error = await recordDenied(failing(1), call(), cause);
    expect(error.code).toBe("records.unavailable");
    expect(error.cause).toMatchObject({ code: "task.required", callId: delegation.callId });
  });
});

describe("a delegation that is used again", () => {
  it("gets an id of its own for each further call, which says whose part it is", async () => {
    const sink = memorySink();
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) {
      await recordedCall(sink, call(), async (_, callId) => ids.push(callId));
    }
    const denied = await recordDenied(sink, call(), new BehalfError("task.required", "no task"));
    ids.push(denied.callId ?? "");
    expect(ids[0]).toBe(delegation.callId);
    expect(new Set(ids).size).toBe(4);
    const decisions = sink.records.filter((record) => record.kind === "decision");
    expect(decisions.map(({ id }) => id)).toEqual(ids);
    expect(decisions.map(({ partOf }) => partOf)).toEqual([
      undefined,
      ...ids.slice(1).map(() => ids[0]),
    ]);
  });
});

describe("a call that is denied", () => {
  it("leaves who it was when its delegation is stale", async () => {
    const sink = memorySink();
    const stale = sampleDelegation({ expiresAtMs: 1000 });
    let isRunning = false;
    const error = await refused(
      recordedCall(sink, call({ delegation: stale }), async () => {
        isRunning = true;
      }),
    );
    expect([isRunning, error.code, error.callId]).toEqual([
      false,
      "identity.expired",
      stale.callId,
    ]);
    expect(sink.records).toMatchObject([
      {
        decision: "deny",
        code: "identity.expired",
        id: stale.callId,
        subject: { subject: "alice" },
      },
    ]);
  });

  it("leaves nobody, under an id of its own, when its delegation is none", async () => {
    const sink = memorySink();
    const forged = { callId: "x", identity: { subject: "alice" } } as never;
    const error = await refused(recordedCall(sink, call({ delegation: forged }), async () => 0));
    expect(error.code).toBe("identity.rejected");
    expect(sink.records).toMatchObject([{ decision: "deny", subject: null, id: error.callId }]);
  });

  it("by its adapter leaves code and reason", async () => {
    const sink = memorySink();
    const error = new BehalfError("task.required", "a task is needed", { reason: "none" });
    expect(await recordDenied(sink, call(), error)).toMatchObject({
      code: "task.required",
      callId: delegation.callId,
      backend: "postgres",
    });
    expect(sink.records).toMatchObject([
      { decision: "deny", code: "task.required", reason: "none" },
    ]);
  });
});
