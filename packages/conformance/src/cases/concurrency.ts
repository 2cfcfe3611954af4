import type { Delegation } from "@behalf/core";

import { codeOf, distinct, errorOf, look, nameOf, ownReads, readsBetween } from "../case-tools.ts";
import type { BoundWay } from "../bound-harness.ts";
import type { CaseContext, ConformanceCase } from "../conformance-case.ts";
import type { Human } from "../harness.ts";
import { seededRandom } from "../seeded-random.ts";

/** Adapters that are made anew, each for one tick: a race in the first use of a client shows only there. */
const COLD_ROUNDS = 20;

export const concurrencyCases: readonly ConformanceCase[] = [
  {
    id: "concurrency.cold-same-tick",
    group: "concurrency",
    title: `the first calls of different humans in one tick each see their own, ${COLD_ROUNDS} times, in each way and in all at once`,
    capability: "rows",
    ways: "once",
    async run({ harness, ways, open, delegate, observe, same }) {
      for (let round = 0; round < COLD_ROUNDS; round++) {
        const opened = await open();
        const before = await observe();
        // Everybody twice, in another order each time.
        const humans = rotated([...harness.humans, ...harness.humans], round);
        const delegations = await Promise.all(humans.map((human) => delegate(human)));
        // One way in every other round, each in its turn; else the ways meet.
        const wayOf = (call: number) =>
          rotated(ways, round % 2 === 0 ? round / 2 : round + call)[0];
        const found = await Promise.all(
          delegations.map((delegation, call) =>
            opened.call((wayOf(call) as BoundWay).name, delegation, look),
          ),
        );
        same(
          "what they are shown",
          found,
          humans.map(({ owner }) => [owner]),
        );
        same(
          "what the backend let through",
          readsBetween(before, await observe()),
          ownReads(...harness.humans),
        );
        await opened.close();
      }
    },
  },
  {
    id: "concurrency.interleaved",
    group: "concurrency",
    title:
      "calls of different humans in the same ticks, in every way and with every end, see their own",
    capability: "rows",
    ways: "once",
    run: interleaved,
  },
  {
    id: "concurrency.credentials-out-of-order",
    group: "concurrency",
    title:
      "credentials that arrive in another order than they were asked for go to whom they belong to",
    capability: "rows",
    async run({ gate, harness, open, delegate, observe, same }) {
      const opened = await open();
      const before = await observe();
      const waiting: (() => void)[] = [];
      const all = gate();
      opened.credentials.answer(async (delegation, real) => {
        const credential = await real.credential(delegation);
        const mine = gate();
        waiting.push(() => mine.open());
        if (waiting.length === harness.humans.length) all.open();
        await mine.opened;
        return credential;
      });
      const delegations = await Promise.all(harness.humans.map((human) => delegate(human)));
      const calls = Promise.all(delegations.map((delegation) => opened.act(delegation, look)));
      calls.catch(() => all.open());
      await all.opened;
      for (const go of waiting.toReversed()) go();
      same(
        "what they are shown",
        await calls,
        harness.humans.map(({ owner }) => [owner]),
      );
      same(
        "what the backend let through",
        readsBetween(before, await observe()),
        ownReads(...harness.humans),
      );
    },
  },
  {
    id: "concurrency.in-line",
    group: "concurrency",
    title:
      "who waits for a connection is overdue, given up or revoked as anybody is, and blocks nobody",
    capability: "deadline",
    async run({ until, open, delegate, observe, same, alice, bob }) {
      const opened = await open({ connections: 1 });
      await opened.act(await delegate(bob), look);
      const stop = new AbortController();
      const { signal } = stop;
      let isOver = false;
      // Longer than the others may wait, and no longer than a case.
      const holder = errorOf(
        opened.act(await delegate(alice), (probe) => probe.hold(), { signal, deadlineMs: 15_000 }),
      ).finally(() => {
        isOver = true;
      });
      await until("the backend works on the call", async () => (await observe()).running > 0);
      const leaving = new AbortController();
      const waiting = [
        opened.act(await delegate(bob), look, { deadlineMs: 50 }),
        opened.act(await delegate(bob), look, { signal: leaving.signal }),
        opened.act(await delegate(bob), look),
      ].map((call) => errorOf(call));
      // An adapter that shares no connections has served them by then.
      const [overdue] = await Promise.all(waiting.slice(0, 1));
      leaving.abort();
      const given = await waiting[1];
      await opened.invalidate(bob.subject);
      const revoked = await waiting[2];
      const wanted = ["timeout", "cancelled", "identity.revoked"];
      const found = [overdue, given, revoked].map((error, call) =>
        error === null ? wanted[call] : codeOf(error),
      );
      same("how they end", found, wanted);
      same("whether the call before them is over", isOver, false);
      stop.abort();
      same("how the call before them ends", codeOf(await holder), "cancelled");
      for (const human of [bob, alice]) {
        const next = opened.act(await delegate(human), look, { deadlineMs: 5_000 });
        same("what the next one is shown", await next, [human.owner]);
      }
    },
  },
  {
    id: "concurrency.nested",
    group: "concurrency",
    title:
      "a call inside another human's call is that of its own human, and neither disturbs the other",
    capability: "rows",
    ways: "callbacks",
    async run({ open, delegate, same, alice, bob }) {
      const opened = await open();
      const [alices, bobs] = [await delegate(alice), await delegate(bob)];
      const found = await opened.act(alices, async (outer) => {
        const first = await look(outer);
        const [inner, meanwhile] = await Promise.all([opened.act(bobs, look), look(outer)]);
        return [first, inner, meanwhile, await look(outer)];
      });
      same("what they are shown", found, [
        [alice.owner],
        [bob.owner],
        [alice.owner],
        [alice.owner],
      ]);
    },
  },
  {
    id: "concurrency.in-one-session",
    group: "concurrency",
    title: "what one call does at once, without waiting, is all that human's",
    capability: "rows",
    ways: "callbacks",
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const found = await opened.act(await delegate(alice), (probe) =>
        Promise.all(Array.from({ length: 8 }, () => look(probe))),
      );
      same(
        "what is shown",
        found,
        Array.from({ length: 8 }, () => [alice.owner]),
      );
    },
  },
];

/**
 * Most calls end well, as most calls do: what follows them must not see what the others left. An abort may
 * cost a connection, so there are fewer.
 */
const ENDINGS = [
  ...Array.from({ length: 16 }, () => "look" as const),
  ...(["fail", "fail", "throw", "throw", "leave", "leave", "abort"] as const),
] as const;

/** Which codes an ending may have. An abort may come late. */
const EXPECTED: { readonly [ending in (typeof ENDINGS)[number]]: readonly string[] } = {
  look: ["no error"],
  fail: ["backend.failed", "backend.denied", "statement.refused"],
  throw: ["not a BehalfError: Error"],
  abort: ["no error", "cancelled"],
  leave: ["no error"],
};

async function interleaved(context: CaseContext): Promise<void> {
  const { harness, ways, open, delegate, observe, same, interleavings, seed, note } = context;
  const opened = await open({ connections: 2 });
  const next = seededRandom(seed);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const delegations = new Map<Human, readonly Delegation[]>();
  for (const human of harness.humans) {
    const agents = harness.agents.map((agent) => delegate(human, { agent }));
    delegations.set(human, await Promise.all(agents));
  }
  const before = await observe();
  const foreign: string[] = [];
  const unexpected: string[] = [];
  const counted: Record<string, number> = {};

  async function one(): Promise<void> {
    const human = pick(harness.humans);
    const delegation = pick(delegations.get(human) as readonly Delegation[]);
    const way = pick(ways);
    const ending = pick(ENDINGS);
    const stop = new AbortController();
    const delayMs = next() * 3;
    const error = await errorOf(
      opened.call(
        way.name,
        delegation,
        async (probe) => {
          if (ending === "fail") return probe.fail();
          // It may be refused.
          if (ending === "leave") await errorOf(probe.leave());
          if (ending === "abort") setTimeout(() => stop.abort(), delayMs);
          const owners = distinct(await probe.look());
          if (owners.length !== 1 || owners[0] !== human.owner) {
            foreign.push(
              `${nameOf(human.subject)} was shown ${owners.join(", ") || "nothing"} by ${way.name}`,
            );
          }
          if (ending === "throw") throw new Error("thrown by the caller");
          return undefined;
        },
        { signal: stop.signal },
      ),
    );
    counted[ending] = (counted[ending] ?? 0) + 1;
    const code = codeOf(error);
    if (!EXPECTED[ending].includes(code)) unexpected.push(`${ending} by ${way.name}: ${code}`);
  }

  for (let done = 0; done < interleavings;) {
    const tick = Math.min(2 + Math.floor(next() * 7), interleavings - done);
    await Promise.all(Array.from({ length: tick }, () => one()));
    done += tick;
    if (foreign.length + unexpected.length > 20) break;
  }
  note(`${interleavings} calls, seed ${seed}: ${JSON.stringify(counted)}`);
  same("who was shown what is not theirs", foreign, []);
  same("calls that ended as none should", distinct(unexpected), []);
  await opened.close();
  const after = await observe();
  const own = ownReads(...harness.humans);
  const crossed = readsBetween(before, after).filter((line) => !own.includes(line));
  same("what the backend let through to others", crossed, []);
}

function rotated<T>(list: readonly T[], by: number): readonly T[] {
  return list.map((_, index) => list[(index + by) % list.length] as T);
}
