import { expect, it } from "vitest";
import { ledger } from "../test-support/ledger.ts";
import { sampleDelegation } from "../test-support/sample-delegation.ts";
import { BehalfError } from "./errors.ts";
import { memorySink } from "./memory-sink.ts";

const CALLS = Number(process.env["BEHALF_CALL_RACES"] ?? 1_000);
const SEED = Number(process.env["BEHALF_SEED"] ?? 20_261_125);

/** Numbers in [0, 1) that follow from the seed alone: xorshift32. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4_294_967_296;
  };
}

it(`leaves one decision and one outcome, and says what is true of the change, in ${CALLS} races`, async () => {
  const next = random(SEED);
  const chance = (share: number) => next() < share;
  /** A few instants, of either kind. */
  async function instants(): Promise<void> {
    for (let left = Math.floor(next() * 4); left > 0; left -= 1) {
      await (chance(0.7) ? Promise.resolve() : new Promise(setImmediate));
    }
  }
  const inner = memorySink();
  const book = ledger({
    records: {
      async write(record) {
        await instants();
        await inner.write(record);
      },
      close: () => inner.close(),
    },
  });
  const told = new Map<string, { readonly error: unknown } | "done">();
  const human = sampleDelegation().identity;

  async function one(): Promise<void> {
    const delegation = sampleDelegation();
    const { callId } = delegation;
    const leaving = new AbortController();
    const run = book.write(
      delegation,
      async (session) => {
        await instants();
        await session.write(callId);
        if (chance(0.1)) throw new TypeError("the caller's own");
        if (chance(0.1)) {
          leaving.abort();
          await session.hang();
        }
        await instants();
      },
      { signal: leaving.signal, deadlineMs: chance(0.2) ? 1 : 60_000 },
      {
        async open(call) {
          await instants();
          if (chance(0.1)) throw new Error("nobody listens there");
          const session = await book.lifecycle.open(call);
          await instants();
          return session;
        },
        async commit(session) {
          await instants();
          if (chance(0.1)) leaving.abort();
          if (chance(0.1)) throw new BehalfError("backend.failed", "a constraint");
          book.entries.push(...session.uncommitted.splice(0));
          await instants();
          session.call.clock.check();
          if (chance(0.1)) throw new Error("the answer was lost");
        },
        async giveUp(session) {
          await instants();
          await book.lifecycle.giveUp?.(session);
          if (chance(0.05)) throw new Error("it could not be ended");
        },
      },
    );
    const settled = run.then(
      () => void told.set(callId, "done"),
      (error: unknown) => void told.set(callId, { error }),
    );
    if (chance(0.3)) leaving.abort();
    await instants();
    if (chance(0.3)) leaving.abort();
    await instants();
    if (chance(0.05)) await book.invalidate(human);
    await settled;
  }

  for (let done = 0; done < CALLS; done += 20) {
    await Promise.all(Array.from({ length: 20 }, one));
  }
  await book.close();

  expect(told.size).toBe(CALLS);
  const wrong: string[] = [];
  const counted = new Map<string, number>();
  const recordsOf = Map.groupBy(inner.records, ({ id }) => id);
  const entries = Map.groupBy(book.entries, (entry) => entry);
  for (const [id, how] of told) {
    const mine = recordsOf.get(id) ?? [];
    const [decision, outcome] = mine;
    const isAllowed = decision?.kind === "decision" && decision.decision === "allow";
    const error = how === "done" ? null : how.error;
    const effect = BehalfError.isInstance(error) ? error.effect : error === null ? "done" : "none";
    const times = entries.get(id)?.length ?? 0;
    const says = (what: string) => void wrong.push(`${what}: ${String(error)} ${effect} ${times}`);
    if (mine.length !== (isAllowed ? 2 : 1)) says(`${mine.length} records`);
    if (outcome?.kind === "outcome") {
      if ((outcome.status === "ok") !== (how === "done")) says("another status");
      if (how !== "done" && outcome.effect !== effect) says(`${outcome.effect} on record`);
    }
    if (times > 1) says("made twice");
    if (effect === "done" && times !== 1) says("not made");
    if (effect === "none" && times !== 0) says("made all the same");
    const end = `${BehalfError.isInstance(error) ? error.code : error === null ? "ok" : "own"} ${effect}`;
    counted.set(end, (counted.get(end) ?? 0) + 1);
  }
  expect(wrong).toEqual([]);
  expect(book.openSessions()).toBe(0);
  // Each kind of end is among them, or nothing was shown of it.
  expect([...counted.keys()].toSorted()).toEqual(
    expect.arrayContaining([
      "backend.failed none",
      "backend.failed unknown",
      "cancelled none",
      "cancelled unknown",
      "identity.revoked none",
      "ok done",
      "own none",
      "timeout none",
    ]),
  );
});
