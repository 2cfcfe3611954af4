import { expect, it } from "vitest";
import { BehalfError } from "./errors.ts";
import type { OpenDecision } from "./decision-record.ts";
import { newCallId } from "./call-id.ts";
import { memorySink } from "./memory-sink.ts";
import { refusalFlood } from "./refusal-flood.ts";

const decision = (): OpenDecision => ({
  v: 1,
  kind: "decision",
  id: newCallId(),
  time: new Date().toISOString(),
  subject: null,
  actors: [],
  unverified: { sub: "x".repeat(200) },
  action: "delegate",
});
const signature = new BehalfError("identity.rejected", "no", { reason: "signature" });
const missing = new BehalfError("identity.missing", "none");

it("records a burst of refusals one by one, and counts the rest by kind", async () => {
  const records = memorySink();
  let time = 1_000;
  const flood = refusalFlood(records, () => time);
  const errors: BehalfError[] = [];
  for (let n = 0; n < 20_000; n++) {
    errors.push(await flood.record(decision(), n % 4 === 0 ? missing : signature));
  }
  flood.close();
  await new Promise(setImmediate);
  expect(records.records).toHaveLength(502);
  expect(records.records.slice(500)).toMatchObject([
    { decision: "deny", code: "identity.missing", repeated: 4_875 },
    { decision: "deny", code: "identity.rejected", reason: "signature", repeated: 14_625 },
  ]);
  // Each refusal names the record that tells of it, and the sums hold nothing that a stranger chose.
  const ids = new Set(records.records.map(({ id }) => id));
  expect(errors.every(({ callId }) => ids.has(callId ?? ""))).toBe(true);
  expect(JSON.stringify(records.records.slice(500))).not.toContain("xxx");
  // With time there is room again.
  time += 2_000;
  for (let n = 0; n < 12; n++) await flood.record(decision(), missing);
  expect(records.records).toHaveLength(512);
});

it("says records.unavailable while single refusals cannot be written", async () => {
  const broken = { write: () => Promise.reject(new Error("full")), close: async () => {} };
  const flood = refusalFlood(broken, Date.now);
  expect((await flood.record(decision(), missing)).code).toBe("records.unavailable");
});
