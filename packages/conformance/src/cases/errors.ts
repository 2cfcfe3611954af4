import { BehalfError } from "@behalf/core";

import {
  codeOf,
  errorOf,
  isSame,
  look,
  needed,
  recordsOf,
  tripsOf,
  turns,
  oneOf,
  refusal,
} from "../case-tools.ts";
import type { ConformanceCase } from "../conformance-case.ts";

const REFUSALS: readonly string[] = ["backend.failed", "backend.denied", "statement.refused"];

/** How often a change may be there, at least and at most, after a call that said this of it. */
const EFFECTS = { done: [1, 1], none: [0, 0], unknown: [0, 1] } as const;

export const errorCases: readonly ConformanceCase[] = [
  {
    id: "errors.backend-fails",
    group: "errors",
    title: "a failure at the backend has a code, the backend's own code, a cause, and is on record",
    capability: null,
    async run({ harness, open, delegate, same, alice }) {
      const opened = await open();
      const delegation = await delegate(alice);
      const error = await errorOf(opened.act(delegation, (probe) => probe.fail()));
      if (!BehalfError.isInstance(error)) return same("the error", codeOf(error), "a BehalfError");
      same("its code", error.code, oneOf(error.code, REFUSALS));
      same("the backend's own code", error.nativeCode, harness.nativeCode);
      same("the backend that it names", error.backend, opened.backend);
      same("its effect", error.effect, "none");
      same("it has a message", error.message.trim() !== "", true);
      same("it keeps a cause", error.cause instanceof Error, true);
      const { kinds, outcome } = recordsOf(opened, delegation.callId);
      same("the records of the call", kinds, ["decision", "outcome"]);
      same(
        "the outcome",
        [outcome?.status, outcome?.code, outcome?.nativeCode],
        ["error", error.code, harness.nativeCode],
      );
    },
  },
  {
    id: "errors.cause-of-a-sink",
    group: "errors",
    title: "what kept a record from being written is the cause of the refusal",
    capability: null,
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const full = new Error("the disk is full");
      opened.records.before(async () => {
        throw full;
      });
      const error = await errorOf(opened.act(await delegate(alice), look));
      same("its code", codeOf(error), "records.unavailable");
      same("its cause", BehalfError.isInstance(error) && error.cause === full, true);
    },
  },
  {
    id: "errors.own",
    group: "errors",
    title:
      "what the caller throws arrives as it is, whatever it is, and is on record without its text",
    capability: null,
    ways: "callbacks",
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const own: readonly unknown[] = [new TypeError("of the caller"), "a text", undefined, 0];
      for (const thrown of own) {
        const delegation = await delegate(alice);
        let caught: unknown = "nothing";
        try {
          await opened.act(delegation, async () => {
            throw thrown;
          });
        } catch (error) {
          caught = error;
        }
        same("what arrives", Object.is(caught, thrown), true);
        const { outcome } = recordsOf(opened, delegation.callId);
        same("the outcome", [outcome?.status, outcome?.effect], ["error", "none"]);
        same("the record quotes it", JSON.stringify(outcome).includes("of the caller"), false);
      }
    },
  },
  {
    id: "errors.aborted-before",
    group: "errors",
    title: "a signal that has fired already: cancelled, and nothing is sent",
    capability: null,
    async run(context) {
      const { open, delegate, same, alice } = context;
      const opened = await open();
      await opened.act(await delegate(alice), look);
      const delegation = await delegate(alice);
      const { value: error, trips } = await tripsOf(context, () =>
        errorOf(opened.act(delegation, look, { signal: AbortSignal.abort() })),
      );
      same("how it ends", codeOf(error), "cancelled");
      same("what is sent", trips.backend, 0);
    },
  },
  {
    id: "errors.overdue",
    group: "errors",
    title: "a call that is overdue ends with timeout, also where the caller's own code hangs",
    capability: null,
    ways: "callbacks",
    async run({ open, delegate, same, alice }) {
      const opened = await open();
      const delegation = await delegate(alice);
      const never = new Promise<never>(() => {});
      const error = await errorOf(opened.act(delegation, () => never, { deadlineMs: 50 }));
      same("how it ends", codeOf(error), "timeout");
      same("the outcome", recordsOf(opened, delegation.callId).outcome?.code, "timeout");
    },
  },
  {
    id: "errors.no-credential-comes",
    group: "errors",
    title: "a call whose credential does not come ends at its deadline, or when it is given up",
    capability: null,
    async run({ gate, until, open, delegate, observe, same, alice }) {
      const opened = await open();
      const held = gate();
      opened.credentials.answer(async (delegation, real) => {
        await held.opened;
        return real.credential(delegation);
      });
      const before = (await observe()).trips.backend;
      const late = await delegate(alice);
      const overdue = await errorOf(opened.act(late, look, { deadlineMs: 50 }));
      same("how it ends that is overdue", codeOf(overdue), "timeout");
      same("its outcome", recordsOf(opened, late.callId).outcome?.code, "timeout");
      const stop = new AbortController();
      const { asked } = opened.credentials;
      const left = await delegate(alice);
      const call = errorOf(opened.act(left, look, { signal: stop.signal }));
      await until("a credential is asked for", () => opened.credentials.asked > asked);
      stop.abort();
      same("how it ends that is given up", codeOf(await call), "cancelled");
      same("its outcome", recordsOf(opened, left.callId).outcome?.code, "cancelled");
      same("what is sent", (await observe()).trips.backend - before, 0);
    },
  },
  {
    id: "errors.abort-at-the-commit",
    group: "errors",
    title: "given up in whichever instant of its end, a write says what is true of its change",
    capability: "writes",
    ways: "callbacks",
    needs: ["change"],
    async run({ until, open, delegate, observe, same, alice }) {
      const opened = await open({ connections: 1 });
      await opened.act(await delegate(alice), look);
      for (let instants = 0; instants < 12; instants++) {
        const delegation = await delegate(alice);
        const mark = `given up ${delegation.callId}`;
        const stop = new AbortController();
        const error = await errorOf(
          opened.act(
            delegation,
            async (probe) => {
              await probe.change(mark);
              void turns(instants).then(() => stop.abort());
            },
            { access: "write", signal: stop.signal },
          ),
        );
        // What was under way arrives.
        await turns(8);
        await until("the backend works on nothing", async () => (await observe()).running === 0);
        const times = (await observe()).writes.filter((one) => one.mark === mark).length;
        const effect = BehalfError.isInstance(error) ? error.effect : "done";
        const [least, most] = EFFECTS[effect];
        same(
          "how often the change is there",
          [times, times >= least && times <= most],
          [times, true],
        );
        same(
          "its code",
          [codeOf(error), ["no error", "cancelled"].includes(codeOf(error))],
          [codeOf(error), true],
        );
      }
    },
  },
  {
    id: "errors.unreachable",
    group: "errors",
    title:
      "an unreachable backend is backend.unavailable, and the same adapter works again afterwards",
    capability: null,
    skipped: ({ faults }) => (faults === undefined ? "the harness has no `faults`" : null),
    async run({ until, harness, open, delegate, same, alice, bob }) {
      const opened = await open();
      await opened.act(await delegate(alice), look);
      const delegation = await delegate(alice);
      const up = await needed(harness.faults, "faults").down();
      const error = await errorOf(opened.act(delegation, look, { deadlineMs: 5_000 }));
      await up();
      same("how it ends", codeOf(error), "backend.unavailable");
      same(
        "the outcome",
        recordsOf(opened, delegation.callId).outcome?.code,
        "backend.unavailable",
      );
      for (const human of [alice, bob]) {
        // A pool may first have to notice that what it kept is gone.
        await until("the adapter works again", async () => {
          const again = await delegate(human);
          return (await errorOf(opened.act(again, look))) === null;
        });
        same("what is shown", await opened.act(await delegate(human), look), [human.owner]);
      }
    },
  },
  {
    id: "errors.lost-answer",
    group: "errors",
    title: "a write whose answer is lost is never repeated, and its effect is said to be unknown",
    capability: "writes",
    needs: ["change"],
    skipped: ({ faults }) =>
      faults?.loseAnswer === undefined ? "the harness has no `faults.loseAnswer`" : null,
    async run({ harness, way, until, open, delegate, observe, same, alice }) {
      const opened = await open({ connections: 1 });
      await opened.act(await delegate(alice), look);
      const delegation = await delegate(alice);
      const mark = `lost ${delegation.callId}`;
      let takeBack: (() => void) | undefined;
      const lose = async () => {
        takeBack = await harness.faults?.loseAnswer?.();
      };
      const error = await errorOf(
        opened.act(
          delegation,
          async (probe) => {
            if (!way.isCallback) await lose();
            await probe.change(mark);
            // In a transaction it is the answer to the commit.
            if (way.isCallback) await lose();
          },
          { access: "write", deadlineMs: 5_000 },
        ),
      );
      takeBack?.();
      same("how it ends", codeOf(error), refusal(error));
      same("the effect", BehalfError.isInstance(error) ? error.effect : null, "unknown");
      same("the effect on record", recordsOf(opened, delegation.callId).outcome?.effect, "unknown");
      const times = (await observe()).writes.filter(
        (one) => one.mark === mark && isSame(one.subject, alice.subject),
      ).length;
      same("how often it was made", times <= 1 ? "at most once" : `${times} times`, "at most once");
      // The only place for a connection is free again.
      await until("the adapter works again", async () => {
        const again = opened.act(await delegate(alice), look, { deadlineMs: 2_000 });
        return (await errorOf(again)) === null;
      });
    },
  },
];
