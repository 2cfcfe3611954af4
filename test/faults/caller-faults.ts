import type { Credential } from "@behalf/core";

import type { CallKind, Fault, Stage, Work } from "./fault.ts";
import { commitsWait, each, quick, slow } from "./works.ts";

/** The caller gives up as soon as the server waits for this. */
async function givesUpAt(
  event: "PgSleep" | "SyncRep",
  stage: Stage,
  call: CallKind,
  work: Work,
): Promise<void> {
  const leaving = new AbortController();
  const going = stage.call(call, work, { signal: leaving.signal });
  going.catch(() => {});
  await stage.waitsFor(event);
  leaving.abort();
  await going;
}

/** Bob has the only connection until the end of the scope. */
async function bobHolds(stage: Stage): Promise<AsyncDisposable> {
  const busy = Promise.withResolvers<void>();
  const holding = Promise.withResolvers<void>();
  const bob = stage.shop.run(await stage.delegate("bob"), async (session) => {
    await session.query("select 1");
    holding.resolve();
    await busy.promise;
  });
  await holding.promise;
  return {
    async [Symbol.asyncDispose]() {
      busy.resolve();
      await bob;
    },
  };
}

/** What the caller does. */
export const CALLER_FAULTS: readonly Fault[] = [
  ...each(
    "the caller gives up before the call",
    (stage, call) => stage.call(call, quick(stage, call), { signal: AbortSignal.abort() }),
    {
      "text reads": ["cancelled", "", "", "", "kept"],
      "text writes": ["cancelled", "", "none", "no", "kept"],
      "run that writes": ["cancelled", "", "none", "no", "kept"],
      stream: ["cancelled", "", "", "", "kept"],
    },
  ),
  ...each(
    "the caller gives up while the call waits for a connection",
    async (stage, call) => {
      await using _ = await bobHolds(stage);
      const leaving = new AbortController();
      const going = stage.call(call, quick(stage, call), { signal: leaving.signal });
      going.catch(() => {});
      // It has its turn at nothing: a macrotask is enough for it to wait.
      setImmediate(() => leaving.abort());
      await going;
    },
    { "text writes": ["cancelled", "", "none", "no", "kept"] },
  ),
  ...each(
    "the caller gives up while the token is exchanged",
    async (stage, call) => {
      const leaving = new AbortController();
      const asked = Promise.withResolvers<void>();
      const shop = stage.world.adapter({
        pool: stage.world.pool({ max: 1 }),
        statements: null,
        credentials: {
          credential: () => {
            asked.resolve();
            return new Promise<Credential>(() => {});
          },
          invalidate: () => {},
        },
      });
      const going = shop.query(await stage.delegate("alice"), quick(stage, call).text, {
        access: "write",
        signal: leaving.signal,
      });
      going.catch(() => {});
      await asked.promise;
      leaving.abort();
      await going;
    },
    { "text writes": ["cancelled", "", "none", "no", "kept"] },
  ),
  ...each(
    "the caller gives up in the middle of a statement",
    (stage, call) => givesUpAt("PgSleep", stage, call, slow(stage, call)),
    {
      "text reads": ["cancelled", "", "", "", "cut"],
      "text writes": ["cancelled", "", "unknown", "no", "cut"],
      "statement reads": ["cancelled", "", "", "", "cut"],
      "statement writes": ["cancelled", "", "unknown", "no", "cut"],
      "run that writes": ["cancelled", "", "none", "no", "cut"],
      stream: ["cancelled", "", "", "", "cut"],
    },
  ),
  ...each(
    "the caller gives up while the COMMIT waits for a standby",
    async (stage, call) => {
      await commitsWait(stage);
      await givesUpAt("SyncRep", stage, call, quick(stage, call));
    },
    {
      "text writes": ["cancelled", "", "unknown", "yes", "cut"],
      "statement writes": ["cancelled", "", "unknown", "yes", "cut"],
      "run that writes": ["cancelled", "", "unknown", "yes", "cut"],
    },
  ),
  ...each(
    "the caller gives up after the call",
    async (stage, call) => {
      const leaving = new AbortController();
      await stage.call(call, quick(stage, call), { signal: leaving.signal });
      leaving.abort();
    },
    { "text writes": ["ok", "", "done", "yes", "kept"] },
  ),
  ...each(
    "the reader of a stream leaves",
    async (stage, call) => {
      const text = slow(stage, call).text;
      for await (const row of stage.shop.stream(await stage.delegate("alice"), text)) {
        if (row[0] === 10) break;
      }
    },
    { stream: ["ok", "", "", "", "kept"] },
  ),
  ...each(
    "the deadline passes in the middle of a statement",
    (stage, call) => stage.call(call, slow(stage, call), { deadlineMs: 1_000 }),
    {
      "text reads": ["timeout", "57014", "", "", "kept"],
      "text writes": ["timeout", "57014", "none", "no", "kept"],
      "statement writes": ["timeout", "57014", "none", "no", "kept"],
      "run that writes": ["timeout", "57014", "none", "no", "kept"],
    },
  ),
  ...each(
    "the deadline passes while the COMMIT waits for a standby",
    async (stage, call) => {
      await commitsWait(stage);
      await stage.call(call, quick(stage, call), { deadlineMs: 300 });
    },
    { "text writes": ["timeout", "", "unknown", "yes", "cut"] },
  ),
  ...each(
    "the deadline passes while the callback of a run is busy elsewhere",
    (stage, call) =>
      stage.call(
        call,
        { ...quick(stage, call), next: () => new Promise<void>(() => {}) },
        { deadlineMs: 300 },
      ),
    { "run that writes": ["timeout", "", "none", "no", "cut"] },
  ),
  ...each(
    "the deadline passes while the call waits for a connection",
    async (stage, call) => {
      await using _ = await bobHolds(stage);
      await stage.call(call, quick(stage, call), { deadlineMs: 200 });
    },
    { "text writes": ["timeout", "waiting", "none", "no", "kept"] },
  ),
  ...each(
    "the human has too many calls under way (`maxCallsPerHuman`)",
    async (stage, call) => {
      const { shop } = stage;
      const many = await Promise.all(Array.from({ length: 64 }, () => stage.delegate("alice")));
      await shop.query(await stage.delegate("alice"), "select 1");
      const going = many.map((alice, n) =>
        shop.query(alice, n === 0 ? "select pg_sleep(0.4)" : "select 1"),
      );
      // All of them have their credential already: now they run or wait.
      await new Promise(setImmediate);
      try {
        await stage.call(call, quick(stage, call));
      } finally {
        await Promise.all(going);
      }
    },
    { "text writes": ["limit.exceeded", "calls_per_human", "none", "no", "kept"] },
  ),
  ...each(
    "the callback of a run throws, at once",
    async (stage) =>
      stage.shop.run(
        await stage.delegate("alice"),
        () => {
          throw new Error("the callback's own");
        },
        { access: "write" },
      ),
    { "run that writes": ["own error", "", "none", "no", "kept"] },
  ),
  ...each(
    "the callback of a run throws, after a write",
    (stage, call) =>
      stage.call(call, {
        ...quick(stage, call),
        next: async () => {
          throw new Error("the callback's own");
        },
      }),
    { "run that writes": ["own error", "", "none", "no", "kept"] },
  ),
];
