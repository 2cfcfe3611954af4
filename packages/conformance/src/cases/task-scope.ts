import { BehalfError, type Delegation, type Task } from "@behalf/core";

import { codeOf, errorOf, look, needed, readsBetween, tripsOf, refusal } from "../case-tools.ts";
import type { CaseContext, ConformanceCase, Opened } from "../conformance-case.ts";
import type { HarnessFacts } from "../bound-harness.ts";
import { distinct } from "../case-tools.ts";
import type { Human } from "../harness.ts";

export const taskScopeCases: readonly ConformanceCase[] = [
  {
    id: "task-scope.narrow",
    group: "task scope",
    title:
      "the narrower call does what its task covers, and cannot do the wider thing where its grade says",
    capability: "taskScope",
    needs: ["wider"],
    async run(context) {
      const { harness, open, delegate, same, alice } = context;
      const opened = await open();
      // The control: without a task the wider thing can be done.
      const wide = await opened.act(await delegate(alice), async (probe) =>
        distinct(await probe.wider()),
      );
      same("what is shown without a task", wide, [needed(alice.widerOwner, "widerOwner")]);
      const task = narrow(harness, alice);
      const within = await opened.act(await delegate(alice, { task }), look);
      same("what is shown within the task", within, [alice.owner]);
      await beyond(context, opened, await delegate(alice, { task }));
    },
  },
  {
    id: "task-scope.alternating",
    group: "task scope",
    title:
      "calls with and without a task, of one human and one token, do not lend one another their scope",
    capability: "taskScope",
    needs: ["wider"],
    async run(context) {
      const { harness, open, delegate, same, alice } = context;
      const opened = await open({ connections: 1 });
      const wide = await delegate(alice);
      const task = narrow(harness, alice);
      for (let round = 0; round < 3; round++) {
        const shown = await opened.act(
          { ...wide, callId: (await delegate(alice)).callId },
          async (probe) => distinct(await probe.wider()),
        );
        same("what is shown without a task", shown, [alice.widerOwner]);
        await beyond(context, opened, { ...wide, callId: (await delegate(alice)).callId, task });
      }
    },
  },
  {
    id: "task-scope.other-task",
    group: "task scope",
    title: "a task that covers nothing of this backend lets nothing through",
    capability: "taskScope",
    async run({ harness, open, delegate, observe, same, alice }) {
      const opened = await open();
      const task = narrow(harness, alice);
      for (const authorizationDetails of [
        [],
        [{ type: "something-else-entirely", actions: ["read"], objects: ["*"] }],
        [{ type: "table", actions: [], objects: [] }],
      ] as const) {
        const before = await observe();
        let shown: readonly string[] = [];
        const error = await errorOf(
          opened.act(
            await delegate(alice, { task: { ...task, authorizationDetails } }),
            async (probe) => {
              shown = await look(probe);
            },
          ),
        );
        same(
          "whether an error is one of ours",
          error === null || BehalfError.isInstance(error),
          true,
        );
        same("what is shown", shown, []);
        same("what the backend let through", readsBetween(before, await observe()), []);
      }
    },
  },
  {
    id: "task-scope.same-id",
    group: "task scope",
    title: "a task that was narrowed further, under the same id, lets through no more than it says",
    capability: "taskScope",
    async run({ harness, open, delegate, observe, same, alice }) {
      const opened = await open({ connections: 1 });
      const wide = await delegate(alice);
      const task = narrow(harness, alice);
      const again = async (of: Task) => ({
        ...wide,
        callId: (await delegate(alice)).callId,
        task: of,
      });
      for (let round = 0; round < 2; round++) {
        const within = await opened.act(await again(task), look);
        same("what is shown within the task", within, [alice.owner]);
        const before = await observe();
        let shown: readonly string[] = [];
        await errorOf(
          opened.act(await again({ ...task, authorizationDetails: [] }), async (probe) => {
            shown = await look(probe);
          }),
        );
        same("what is shown within less of it", shown, []);
        same("what the backend let through", readsBetween(before, await observe()), []);
      }
    },
  },
  {
    id: "task-scope.same-tick",
    group: "task scope",
    title: "first calls in one tick, with a task and without, keep their own scope",
    capability: "taskScope",
    needs: ["wider"],
    async run({ harness, open, delegate, same, alice }) {
      const task = narrow(harness, alice);
      for (let round = 0; round < 4; round++) {
        const opened = await open();
        const wide = await delegate(alice);
        const both = [
          wide,
          { ...wide, callId: (await delegate(alice)).callId, task },
        ] satisfies Delegation[];
        const shown = both.map((): readonly string[] => []);
        const calls = both.map(
          (delegation, call) => () =>
            errorOf(
              opened.act(delegation, async (probe) => {
                shown[call] = distinct(await probe.wider());
              }),
            ),
        );
        const inOrder = round % 2 === 0 ? calls : calls.toReversed();
        await Promise.all(inOrder.map((call) => call()));
        same("what is shown without a task and with one", shown, [[alice.widerOwner], []]);
        await opened.close();
      }
    },
  },
  {
    id: "task-scope.reading-only",
    group: "task scope",
    title: "a task for reading changes nothing",
    capability: "taskScope",
    needs: ["change"],
    async run({ harness, open, delegate, observe, same, alice }) {
      const opened = await open();
      const delegation = await delegate(alice, { task: narrow(harness, alice) });
      const mark = `task ${delegation.callId}`;
      const error = await errorOf(
        opened.act(delegation, async (probe) => probe.change(mark), {
          access: "write",
        }),
      );
      same("how it is refused", codeOf(error), refusal(error));
      same(
        "what is changed",
        (await observe()).writes.filter((one) => one.mark === mark),
        [],
      );
    },
  },
  {
    id: "task-scope.refused",
    group: "task scope",
    title: "an adapter that cannot narrow refuses a call that has a task, before anything is sent",
    capability: null,
    skipped: ({ capabilities }) =>
      capabilities["taskScope"] === undefined || capabilities["taskScope"].grade === "refused"
        ? null
        : "the adapter narrows calls to their task",
    async run(context) {
      const { open, delegate, same, alice } = context;
      const opened = await open();
      await opened.act(await delegate(alice), look);
      const task = {
        id: "a task",
        expiresAtMs: Date.now() + 60_000,
        authorizationDetails: [{ type: "table", actions: ["read"], objects: ["orders"] }],
      } satisfies Task;
      const narrowed = await delegate(alice, { task });
      const { value: error, trips } = await tripsOf(context, () =>
        errorOf(opened.act(narrowed, look)),
      );
      same("how it ends", codeOf(error), "task.scope_exceeded");
      same("what is sent", trips.backend, 0);
    },
  },
];

function narrow(harness: HarnessFacts, human: Human): Task {
  const task = harness.narrowTask?.(human);
  return needed(task, "narrowTask");
}

/** The wider thing fails or shows nothing; who says so depends on the grade. */
async function beyond(context: CaseContext, opened: Opened, delegation: Delegation): Promise<void> {
  const { harness, observe, same } = context;
  const grade = harness.capabilities["taskScope"]?.grade;
  const before = await observe();
  let shown: readonly string[] = [];
  const { value: error, trips } = await tripsOf(context, () =>
    errorOf(
      opened.act(delegation, async (probe) => {
        // Also without the adapter's help: the backend is asked, and answers.
        shown = distinct(await probe.wider());
      }),
    ),
  );
  same("what is shown beyond the task", shown, []);
  same("whether an error is one of ours", error === null || BehalfError.isInstance(error), true);
  same("what the backend let through", readsBetween(before, await observe()), []);
  if (grade === "native") same("whether the backend was asked", trips.backend > 0, true);
  if (grade === "adapter") same("how it ends", codeOf(error), "task.scope_exceeded");
}
