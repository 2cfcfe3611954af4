import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { everythingOf, refused } from "../test-support/refused.ts";
import { AUDIENCE, forge, startTestIssuer, type TestIssuer } from "../test-support/test-issuer.ts";
import type { DecisionRecord, RecordSink } from "./audit-record.ts";
import { delegator } from "./delegator.ts";
import { BehalfError } from "./errors.ts";
import { identityVerifier } from "./identity-verifier.ts";
import { memorySink } from "./memory-sink.ts";

let issuer: TestIssuer;
beforeAll(async () => {
  issuer = await startTestIssuer();
});
afterAll(() => issuer.close());

const options = () => ({ issuers: [{ issuer: issuer.url }], audience: AUDIENCE });

describe("a good token", () => {
  it("becomes a delegation with an id of its own, and leaves no record yet", async () => {
    const records = memorySink();
    const front = delegator({ verifier: options(), records });
    const token = await issuer.token();
    const task = { id: "t", authorizationDetails: [], expiresAtMs: Date.now() + 1000 };
    const one = await front.delegate(token, { task, tool: "find" });
    const two = await front.delegate(token);
    expect(one).toMatchObject({ identity: { subject: "alice" }, task, tool: "find" });
    expect(Object.isFrozen(one)).toBe(true);
    expect(two.callId > one.callId).toBe(true);
    expect(two.identity).toBe(one.identity);
    expect(records.records).toEqual([]);
    expect(everythingOf(one)).not.toContain(token);
  });

  it("with a task that is over is refused, on record with the human", async () => {
    const records = memorySink();
    const front = delegator({ verifier: options(), records });
    const task = { id: "t-1", authorizationDetails: [], expiresAtMs: Date.now() };
    const error = await refused(front.delegate(await issuer.token(), { task }));
    expect(records.records).toMatchObject([
      { id: error.callId, code: "task.scope_exceeded", subject: { subject: "alice" }, task: "t-1" },
    ]);
    expect(records.records[0]).not.toHaveProperty("unverified");
  });
});

describe("a refusal", () => {
  it("is on record before it is thrown, with what the token says of itself", async () => {
    const records = memorySink();
    const front = delegator({ verifier: options(), records });
    const token = forge(
      { alg: "none", typ: "at+jwt", kid: "k".repeat(500) },
      { iss: issuer.url, sub: "eve\u001b[2J\u202e\nroot", password: "hunter2" },
      "",
    );
    const error = await refused(front.delegate(token, { tool: "find" }));
    expect(records.records).toEqual([
      {
        v: 1,
        kind: "decision",
        id: error.callId,
        time: expect.any(String),
        decision: "deny",
        code: "identity.rejected",
        reason: "algorithm",
        subject: null,
        actors: [],
        unverified: {
          iss: issuer.url,
          sub: "eve\u{fffd}[2J\u{fffd}\u{fffd}root",
          kid: "k".repeat(200),
          alg: "none",
          typ: "at+jwt",
        },
        tool: "find",
        action: "delegate",
      },
    ]);
    const shown = everythingOf([records.records, error]);
    expect(shown).not.toContain("hunter2");
    for (const part of token.split(".").filter((text) => text !== "")) {
      expect(shown).not.toContain(part.slice(0, 20));
    }
  });

  it.each([undefined, null, "", "secret-but-no-token", "x".repeat(100_000), 42 as never])(
    "of %s has no facts to tell, and is on record",
    async (token) => {
      const records = memorySink();
      const error = await refused(delegator({ verifier: options(), records }).delegate(token));
      const record = records.records[0] as DecisionRecord;
      expect([record.id, record.decision]).toEqual([error.callId, "deny"]);
      expect(Object.keys(record.unverified ?? {})).toEqual(
        typeof token === "string" && token.length > 1000 ? ["length"] : [],
      );
      expect(everythingOf([record, error])).not.toMatch(/secret-but|xxxx/);
    },
  );

  it("of a flood is on record, one by one at first and then by number", async () => {
    const records = memorySink();
    const front = delegator({ verifier: options(), records });
    const token = forge({ alg: "none" }, {});
    const errors = await Promise.all(
      Array.from({ length: 2000 }, () => refused(front.delegate(token))),
    );
    front.close();
    await new Promise(setImmediate);
    const decisions = records.records.filter((record) => record.kind === "decision");
    expect(decisions.length).toBeLessThan(600);
    expect(decisions.reduce((sum, { repeated = 1 }) => sum + repeated, 0)).toBe(2000);
    const ids = new Set(decisions.map(({ id }) => id));
    expect(errors.every(({ callId }) => ids.has(callId ?? ""))).toBe(true);
  });

  it("that cannot be recorded is still one, and says both", async () => {
    const records: RecordSink = {
      write: () => Promise.reject(new Error("disk full")),
      close: async () => undefined,
    };
    const error = await refused(delegator({ verifier: options(), records }).delegate("x"));
    expect(error.code).toBe("records.unavailable");
    expect(error.cause).toMatchObject({ code: "identity.rejected", callId: error.callId });
  });

  it("of a verifier with a defect is one, too, and tells nothing of what it threw", async () => {
    const records = memorySink();
    const verifier = {
      verify: (token: unknown) => Promise.reject(new RangeError(`bad ${String(token)}`)),
      invalidate: () => undefined,
      close: () => undefined,
    };
    const error = await refused(delegator({ verifier, records }).delegate("hunter2"));
    expect(error).toMatchObject({ code: "identity.unavailable", nativeCode: "RangeError" });
    expect(records.records).toHaveLength(1);
    expect(everythingOf([error, records.records])).not.toContain("hunter2");
  });
});

it("closes the verifier that it made, and not one that was passed in", async () => {
  const records = memorySink();
  const token = await issuer.token();
  const own = delegator({ verifier: options(), records });
  own.close();
  expect((await refused(own.delegate(token))).code).toBe("closed");
  const verifier = identityVerifier(options());
  delegator({ verifier, records }).close();
  expect((await verifier.verify(token)).subject).toBe("alice");
  expect(BehalfError.isInstance(await refused(own.delegate(token)))).toBe(true);
});
