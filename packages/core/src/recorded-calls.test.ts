import { describe, expect, it } from "vitest";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import type { AuditRecord } from "./audit-record.ts";
import { BehalfError } from "./errors.ts";
import { memorySink } from "./memory-sink.ts";
import { recordDenied, recordedCall } from "./recorded-call.ts";
import { callsOf, joinCalls } from "./recorded-calls.ts";

const facts = (more: Parameters<typeof sampleDelegation>[0] = {}) =>
  ({ delegation: sampleDelegation(more), backend: "db", action: "query", access: "read" }) as const;

async function history(): Promise<readonly AuditRecord[]> {
  const sink = memorySink();
  await recordedCall(sink, facts(), async (note) => note({ rows: 3 }));
  await recordedCall(sink, facts(), () => Promise.reject(new Error("no"))).catch(() => undefined);
  await recordDenied(sink, facts(), new BehalfError("task.required", "no task"));
  await recordedCall(sink, facts({ subject: "bob" }), async () => 0);
  await recordedCall(sink, facts({ issuer: "https://b.test" }), async () => 0);
  await recordedCall(
    sink,
    facts({ actors: [{ subject: "gw" }, { subject: "agent-9" }] }),
    async () => 0,
  );
  // A crash between the two records.
  await recordedCall(sink, facts(), async () => 0);
  const [first, ...rest] = sink.records.slice(0, -1);
  if (first === undefined || first.kind !== "decision") throw new Error("no history");
  const claimed = { ...first, id: "x", decision: "deny", subject: null } as const;
  return [first, ...rest, { ...claimed, unverified: { sub: "alice" } }];
}

describe("the calls", () => {
  it("are joined, and one without an outcome is unknown", async () => {
    const calls = await joinCalls(await history());
    expect(calls.map(({ status }) => status)).toEqual([
      "ok",
      "error",
      "denied",
      "ok",
      "ok",
      "ok",
      "unknown",
      "denied",
    ]);
    expect(calls[0]?.outcome).toMatchObject({ rows: 3 });
    expect(calls[6]?.outcome).toBeNull();
  });

  it("of one id are paired in their order", async () => {
    const sink = memorySink();
    const again = facts();
    for (const rows of [1, 2]) await recordedCall(sink, again, async (note) => note({ rows }));
    const calls = await joinCalls(sink.records);
    expect(calls.map(({ outcome }) => outcome?.rows)).toEqual([1, 2]);
  });

  it.each([
    [{}, 8],
    [{ subject: "alice" }, 6],
    [{ subject: "alice", issuer: "https://a.test" }, 5],
    [{ subject: "alice", issuer: "https://a.test", actor: "agent-7" }, 4],
    [{ actor: "agent-9" }, 1],
    [{ subject: "alice", deniedOnly: true }, 1],
    [{ deniedOnly: true }, 2],
    [{ subject: "eve" }, 0],
  ])("of %j are %i", async (filter, count) => {
    expect(await callsOf(await history(), filter)).toHaveLength(count);
  });
});
