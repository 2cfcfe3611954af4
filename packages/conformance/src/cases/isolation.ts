import { BehalfError, type Delegation, type RunOptions, Secret } from "@behalf/core";

import {
  codeOf,
  errorOf,
  isSame,
  look,
  needed,
  ownReads,
  readsBetween,
  oneOf,
  refusal,
  pause,
} from "../case-tools.ts";
import type { CaseContext, ConformanceCase, Opened } from "../conformance-case.ts";
import type { FullProbe } from "../full-probe.ts";

/** A way for a call to end, and the codes that it may then have. */
interface Ending {
  readonly name: string;
  readonly title: string;
  readonly codes: readonly string[];
  readonly ways?: "callbacks";
  readonly capability: string;
  readonly end: (opened: Opened, delegation: Delegation, context: CaseContext) => Promise<unknown>;
}

const thrown = new Error("thrown by the caller");

const ENDINGS: readonly Ending[] = [
  {
    name: "success",
    title: "a call that went well",
    codes: ["no error"],
    capability: "rows",
    end: (opened, delegation) => opened.act(delegation, leaving(look)),
  },
  {
    name: "throw",
    title: "a caller's own error",
    codes: ["not a BehalfError: Error"],
    ways: "callbacks",
    capability: "rows",
    end: (opened, delegation) =>
      opened.act(
        delegation,
        leaving(async (probe) => {
          await probe.look();
          throw thrown;
        }),
      ),
  },
  {
    name: "failure",
    title: "a failure at the backend",
    codes: ["backend.failed", "backend.denied", "statement.refused"],
    capability: "rows",
    end: (opened, delegation) =>
      opened.act(
        delegation,
        leaving((probe) => probe.fail()),
      ),
  },
  {
    name: "failure-caught",
    title: "a failure at the backend that the caller caught",
    // The backend may have ended the transaction, or not.
    codes: ["no error", "backend.failed", "backend.denied", "statement.refused"],
    ways: "callbacks",
    capability: "rows",
    end: (opened, delegation) =>
      opened.act(
        delegation,
        leaving((probe) => errorOf(probe.fail())),
      ),
  },
  {
    name: "abort",
    title: "an abort in the middle",
    codes: ["cancelled"],
    capability: "rows",
    async end(opened, delegation, context) {
      const stop = new AbortController();
      const call = holding(opened, delegation, { signal: stop.signal });
      await busy(context);
      stop.abort();
      return call;
    },
  },
  {
    name: "timeout",
    title: "a deadline in the middle",
    codes: ["timeout"],
    capability: "rows",
    end: (opened, delegation) => holding(opened, delegation, { deadlineMs: 200 }),
  },
  {
    name: "early-abort",
    title: "an abort before anything was sent",
    codes: ["cancelled"],
    capability: "rows",
    end: (opened, delegation) =>
      opened.act(delegation, leaving(look), { signal: AbortSignal.abort() }),
  },
];

export const isolationCases: readonly ConformanceCase[] = [
  ...ENDINGS.map(({ name, title, codes, ways, capability, end }): ConformanceCase => ({
    id: `isolation.${name}`,
    group: "isolation",
    title: `nothing survives ${title}: the next human sees what is theirs`,
    capability,
    ...(ways === undefined ? {} : { ways }),
    async run(context) {
      const { until, harness, open, delegate, observe, same, alice, bob } = context;
      const opened = await open({ connections: 1 });
      // So that there is something to be left on.
      await opened.act(await delegate(bob), look);
      for (const access of harness.capabilities["writes"]
        ? (["read", "write"] as const)
        : (["read"] as const)) {
        if (access === "write" && context.way.lacks.includes("change")) continue;
        const error = await errorOf(
          end({ ...opened, act: withAccess(opened, access) }, await delegate(alice), context),
        );
        same(`how a ${access} ends`, codeOf(error), oneOf(codeOf(error), codes));
        if (name === "throw")
          same("the caller's own error arrives untouched", error === thrown, true);
        await until("the backend works on nothing", async () => (await observe()).running === 0);
        const before = await observe();
        same(`what is left on idle sessions after a ${access}`, before.left, []);
        await opened.act(await delegate(bob), async (probe) => {
          same(`what the next human is shown after a ${access}`, await look(probe), [bob.owner]);
          if (harness.probes?.includes("residue") && !context.way.lacks.includes("residue")) {
            same(`what the next human finds after a ${access}`, await probe.residue(), []);
          }
        });
        same("what the backend let through", readsBetween(before, await observe()), ownReads(bob));
      }
    },
  })),
  ...(["throw", "abort", "failure"] as const).map((ending): ConformanceCase => ({
    id: `isolation.undone-by-${ending}`,
    group: "isolation",
    title: `a change is undone by ${ending === "throw" ? "a caller's own error" : ending === "abort" ? "an abort" : "a failure"} in the same call, and the next commit does not make it`,
    capability: "transactions",
    ways: "callbacks",
    needs: ["change"],
    async run({ open, delegate, observe, same, alice, bob }) {
      const opened = await open({ connections: 1 });
      const delegation = await delegate(alice);
      const mark = `undone ${delegation.callId}`;
      const stop = new AbortController();
      const error = await errorOf(
        opened.act(
          delegation,
          async (probe) => {
            await probe.change(mark);
            if (ending === "throw") throw thrown;
            if (ending === "failure") return probe.fail();
            const held = probe.hold();
            stop.abort();
            return held;
          },
          { access: "write", signal: stop.signal },
        ),
      );
      same("the call fails", error === null, false);
      if (BehalfError.isInstance(error)) same("its effect", error.effect, "none");
      const next = `next ${delegation.callId}`;
      await opened.act(await delegate(bob), (probe) => probe.change(next), {
        access: "write",
      });
      const { writes } = await observe();
      same(
        "what is left of it",
        writes.filter((one) => one.mark === mark),
        [],
      );
      const kept = writes.filter((one) => one.mark === next && isSame(one.subject, bob.subject));
      same("what the next human changed", kept.length, 1);
    },
  })),
  {
    id: "isolation.read-cannot-write",
    group: "isolation",
    title: "a call that asked for reading changes nothing",
    capability: "readOnly",
    needs: ["change"],
    async run({ open, delegate, observe, same, alice }) {
      const opened = await open();
      const delegation = await delegate(alice);
      const mark = `read ${delegation.callId}`;
      await errorOf(opened.act(delegation, (probe) => probe.change(mark), { access: "read" }));
      same(
        "what is changed",
        (await observe()).writes.filter((one) => one.mark === mark),
        [],
      );
    },
  },
  {
    id: "isolation.refused-opening",
    group: "isolation",
    title: "a call that is refused while it opens keeps no place that the next human needs",
    capability: null,
    async run({ open, delegate, same, alice, bob }) {
      const opened = await open({ connections: 1 });
      const bobs = await delegate(bob);
      const answers: readonly Parameters<Opened["credentials"]["answer"]>[0][] = [
        (_, real) => real.credential(bobs),
        async (delegation, real) => ({
          ...(await real.credential(delegation)),
          token: new Secret("a token that nobody knows"),
        }),
        () => Promise.reject(new BehalfError("identity.exchange_refused", "the issuer says no")),
      ];
      for (const answer of answers) {
        opened.credentials.answer(answer);
        const error = await errorOf(opened.act(await delegate(alice), look));
        same("how it is refused", codeOf(error), refusal(error));
        opened.credentials.answer(null);
        const next = opened.act(await delegate(bob), look, { deadlineMs: 5_000 });
        same("what the next human is shown", await next, [bob.owner]);
      }
    },
  },
  {
    id: "isolation.gives-up-its-place",
    group: "isolation",
    title:
      "a call that is given up or overdue while it waits for its turn leaves the turn to the next",
    capability: "rows",
    async run(context) {
      const { open, delegate, same, alice, bob } = context;
      const opened = await open({ connections: 1 });
      await opened.act(await delegate(bob), look);
      for (const ending of ["cancelled", "timeout"] as const) {
        const first = new AbortController();
        const held = errorOf(holding(opened, await delegate(bob), { signal: first.signal }));
        await busy(context);
        const second = new AbortController();
        const waiting = errorOf(
          opened.act(
            await delegate(alice),
            look,
            ending === "timeout" ? { deadlineMs: 100 } : { signal: second.signal },
          ),
        );
        // Time to get in line; where humans share nothing there is none, and the call just ends.
        await Promise.race([waiting, pause(100)]);
        second.abort();
        const code = codeOf(await waiting);
        same(
          "how a call ends that waits",
          code,
          oneOf(code, [ending, "backend.unavailable", "no error"]),
        );
        first.abort();
        await held;
        for (const human of [alice, bob, alice]) {
          const next = opened.act(await delegate(human), look, { deadlineMs: 5_000 });
          same("what the next ones are shown", await next, [human.owner]);
        }
      }
    },
  },
  {
    id: "isolation.kept-session",
    group: "isolation",
    title: "a session that was kept after its call is refused, and sends nothing",
    capability: null,
    ways: "callbacks",
    async run({ open, delegate, observe, same, alice, bob }) {
      for (const ending of ["success", "throw"] as const) {
        const opened = await open({ connections: 1 });
        let kept: FullProbe | undefined;
        await errorOf(
          opened.act(await delegate(alice), async (probe) => {
            kept = probe;
            await probe.look();
            if (ending === "throw") throw thrown;
          }),
        );
        const before = await observe();
        const error = await errorOf(needed(kept, "run").look());
        same(`how it ends after ${ending}`, codeOf(error), "closed");
        const during = await errorOf(
          opened.act(await delegate(bob), () => needed(kept, "run").look()),
        );
        same(`how it ends in the next call`, codeOf(during), "closed");
        same("what the backend let through", readsBetween(before, await observe()), []);
      }
    },
  },
  {
    id: "isolation.stops-at-the-backend",
    group: "isolation",
    title: "what is given up or overdue is stopped at the backend, too",
    capability: "deadline",
    async run(context) {
      const { until, open, delegate, observe, same, alice } = context;
      const opened = await open();
      // What an adapter asks once, at its first call, must not be taken for the call.
      await opened.act(await delegate(alice), look);
      const stop = new AbortController();
      const given = errorOf(holding(opened, await delegate(alice), { signal: stop.signal }));
      await busy(context);
      stop.abort();
      same("how a call ends that is given up", codeOf(await given), "cancelled");
      await until("the backend has stopped", async () => (await observe()).running === 0);
      const overdue = await errorOf(holding(opened, await delegate(alice), { deadlineMs: 200 }));
      same("how a call ends that is overdue", codeOf(overdue), "timeout");
      await until("the backend has stopped", async () => (await observe()).running === 0);
    },
  },
];

/** Leaves what it can, then works. */
function leaving<T>(work: (probe: FullProbe) => Promise<T>): (probe: FullProbe) => Promise<T> {
  return async (probe) => {
    await errorOf(probe.leave());
    return work(probe);
  };
}

function holding(opened: Opened, delegation: Delegation, options: RunOptions): Promise<unknown> {
  const call = opened.act(delegation, (probe) => probe.hold(), options);
  // Awaited later.
  call.catch(() => {});
  return call;
}

async function busy({ until, observe }: CaseContext): Promise<void> {
  await until("the backend works on the call", async () => (await observe()).running > 0);
}

function withAccess(opened: Opened, access: "read" | "write"): Opened["act"] {
  return (delegation, work, options) => opened.act(delegation, work, { ...options, access });
}
