import { getEventListeners } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Secret } from "@behalf/core";

import { codeOf, errorOf, heldRecords, look, pause, recordsOf, tripsOf } from "../case-tools.ts";
import type { CaseContext, ConformanceCase, Opened } from "../conformance-case.ts";

export const lifecycleCases: readonly ConformanceCase[] = [
  {
    id: "lifecycle.close-waits",
    group: "lifecycle",
    title: "close waits for what runs, which ends as it would have, and lets nothing new begin",
    capability: null,
    async run(context) {
      const { open, delegate, same, alice, bob } = context;
      const opened = await open();
      const delegation = await delegate(alice);
      const late = await delegate(bob);
      const held = heldRecords(context, opened, "outcome");
      const call = opened.act(delegation, look);
      call.catch(() => {});
      await held.reached();
      let isClosed = false;
      const closed = opened.close().then(() => (isClosed = true));
      same(
        "a call that comes while it closes",
        codeOf(await errorOf(opened.act(late, look))),
        "closed",
      );
      // Long enough for one that does not wait to let go of what it has.
      await Promise.race([closed, pause(50)]);
      same("whether it is closed while a call runs", isClosed, false);
      held.go();
      same("what the running call is shown", await call, [alice.owner]);
      await closed;
    },
  },
  {
    id: "lifecycle.close-again",
    group: "lifecycle",
    title: "close may be called again, at once, and before anything was called",
    capability: null,
    ways: "once",
    async run({ open, delegate, same, alice }) {
      const unused = await open();
      await unused.close();
      await unused.close();
      const used = await open();
      same("what is shown", await used.act(await delegate(alice), look), [alice.owner]);
      await Promise.all([used.close(), used.close()]);
      await used.close();
    },
  },
  {
    id: "lifecycle.use-after-close",
    group: "lifecycle",
    title: "after close every call is refused with `closed`, on record, and nothing is sent",
    capability: null,
    async run(context) {
      const { open, delegate, same, alice } = context;
      const opened = await open();
      await opened.act(await delegate(alice), look);
      await opened.close();
      const delegation = await delegate(alice);
      const { value: error, trips } = await tripsOf(context, () =>
        errorOf(opened.act(delegation, look)),
      );
      same("how it ends", codeOf(error), "closed");
      same("what is sent", trips, { backend: 0, identity: 0 });
      const { decision } = recordsOf(opened, delegation.callId);
      same("the decision", [decision?.decision, decision?.code], ["deny", "closed"]);
      // There is nothing left to invalidate, and nothing to fail at.
      await opened.invalidate(alice.subject);
    },
  },
  {
    id: "lifecycle.nothing-left",
    group: "lifecycle",
    title: "after close no socket, timer or session is left, however calls ended",
    capability: null,
    async run(context) {
      const { until, observe, same } = context;
      await observe();
      const before = resources();
      const sessions = (await observe()).sessions;
      await everyEnding(context);
      // A socket that was told to end is there until the other side has heard it.
      await until(
        "this process lets go of sockets and timers",
        () => moreThan(before, resources()).length === 0,
      ).catch(() => {});
      same("what this process still holds", moreThan(before, resources()), []);
      await until("the backend has let the sessions go", async () => {
        const now = (await observe()).sessions;
        return now.every((id) => sessions.includes(id));
      });
    },
  },
  {
    id: "lifecycle.no-temporary-files",
    group: "lifecycle",
    title: "no file is left in the folder for temporary ones",
    capability: null,
    async run(context) {
      const folder = await mkdtemp(join(tmpdir(), "behalf-conformance-"));
      const names = ["TMPDIR", "TMP", "TEMP"] as const;
      const old = names.map((name) => process.env[name]);
      for (const name of names) process.env[name] = folder;
      try {
        await everyEnding(context);
        context.same("files that are left", await readdir(folder), []);
      } finally {
        names.forEach((name, index) => {
          if (old[index] === undefined) delete process.env[name];
          else process.env[name] = old[index];
        });
        await rm(folder, { recursive: true, force: true });
      }
    },
  },
  {
    id: "lifecycle.listeners",
    group: "lifecycle",
    title: "a signal that outlives its calls, and this process, keep no listener of theirs",
    capability: null,
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const { signal } = new AbortController();
      // The first call may listen for as long as there is an adapter.
      await opened.act(await delegate(alice), look);
      const before = processListeners();
      for (let n = 0; n < 3; n++) {
        await opened.act(await delegate(alice), look, { signal });
        await errorOf(opened.act(await delegate(alice), (probe) => probe.fail(), { signal }));
      }
      same("listeners that are left", getEventListeners(signal, "abort").length, 0);
      same("listeners of the process", processListeners(), before);
    },
  },
  {
    id: "lifecycle.no-unhandled-rejection",
    group: "lifecycle",
    title: "no end of a call leaves a rejection that nobody handles",
    capability: null,
    async run(context) {
      const unhandled: unknown[] = [];
      const keep = (error: unknown) => void unhandled.push(error);
      const others = process.listeners("unhandledRejection");
      process.removeAllListeners("unhandledRejection");
      process.on("unhandledRejection", keep);
      try {
        await everyEnding(context);
        await new Promise(setImmediate);
        context.same("rejections that nobody handles", unhandled.map(codeOf), []);
      } finally {
        process.off("unhandledRejection", keep);
        for (const other of others) process.on("unhandledRejection", other);
      }
    },
  },
];

/** A call with each kind of end, then close. */
async function everyEnding(context: CaseContext): Promise<void> {
  const { until, open, delegate, observe, alice, bob } = context;
  const opened: Opened = await open();
  const stop = new AbortController();
  await opened.act(await delegate(alice), look);
  await errorOf(opened.act(await delegate(alice), (probe) => probe.fail()));
  await errorOf(
    opened.act(await delegate(bob), async (probe) => {
      await probe.look();
      throw new Error("thrown by the caller");
    }),
  );
  await errorOf(opened.act(await delegate(bob), (probe) => probe.hold(), { deadlineMs: 100 }));
  const given = errorOf(
    opened.act(await delegate(alice), (probe) => probe.hold(), { signal: stop.signal }),
  );
  await until("the backend works on the call", async () => (await observe()).running > 0);
  stop.abort();
  await given;
  const revoked = errorOf(opened.act(await delegate(alice), (probe) => probe.hold()));
  await until("the backend works on the call", async () => (await observe()).running > 0);
  await opened.invalidate(alice.subject);
  await revoked;
  await errorOf(opened.act(await delegate(alice), look, { signal: AbortSignal.abort() }));
  await errorOf(opened.act(await delegate(alice), look, { deadlineMs: 0 }));
  await opened.invalidate(bob.subject);
  for (const answer of [
    () => Promise.reject(new Error("the issuer is away")),
    async () => ({ token: new Secret("nobody's"), expiresAtMs: Infinity, audience: "anywhere" }),
  ]) {
    opened.credentials.answer(answer);
    await errorOf(opened.act(await delegate(bob), look));
  }
  opened.credentials.answer(null);
  // So that there is something to close.
  await opened.act(await delegate(bob), look);
  await opened.close();
}

function processListeners(): number {
  return process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
}

function resources(): readonly string[] {
  return process.getActiveResourcesInfo();
}

/** The kinds of which there are more than before. */
function moreThan(before: readonly string[], after: readonly string[]): readonly string[] {
  const count = (list: readonly string[], kind: string) =>
    list.filter((one) => one === kind).length;
  return [...new Set(after)].filter((kind) => count(after, kind) > count(before, kind)).toSorted();
}
