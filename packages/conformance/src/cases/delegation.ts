import type { AuditRecord, Credential, Delegation } from "@behalf/core";

import {
  attempted,
  codeOf,
  errorOf,
  heldRecords,
  look,
  ownReads,
  readsBetween,
  recordsOf,
  timesOf,
  tripsOf,
} from "../case-tools.ts";
import type { ConformanceCase } from "../conformance-case.ts";
import { everythingIn } from "../secret-scan.ts";

const GRADES: readonly string[] = ["native", "adapter", "refused"];
type Actors = Delegation["identity"]["actors"];

const EVIDENCE: readonly string[] = ["live", "independent engine", "emulated"];

export const delegationCases: readonly ConformanceCase[] = [
  {
    id: "delegation.contract",
    group: "delegation",
    title: "the adapter names its backend, its version of the contract and its capabilities",
    capability: null,
    ways: "once",
    async run({ harness, open, same }) {
      const opened = await open();
      same("specificationVersion", opened.specificationVersion, 1);
      same("backend", opened.backend, harness.backend);
      same("capabilities", opened.capabilities, harness.capabilities);
      for (const [name, { grade, evidence, note }] of Object.entries(opened.capabilities)) {
        same(`grade of ${name} is one`, GRADES.includes(grade), true);
        same(`evidence of ${name} is one`, EVIDENCE.includes(evidence), true);
        same(`${name} has a note`, note.trim() !== "", true);
      }
    },
  },
  {
    id: "delegation.backend-sees-the-human",
    group: "delegation",
    title: "the backend sees the human of each call and lets through what is theirs, nothing else",
    capability: "identity",
    async run({ harness, open, delegate, observe, same }) {
      const opened = await open();
      const before = await observe();
      for (const human of harness.humans) {
        const found = await opened.act(await delegate(human), look);
        same(`what ${human.name} is shown`, found, [human.owner]);
      }
      const letThrough = readsBetween(before, await observe());
      same("what the backend let through", letThrough, ownReads(...harness.humans));
    },
  },
  {
    id: "delegation.who-am-i",
    group: "delegation",
    title: "whoAmI is the backend's own answer: it names the human and who acts, and costs a trip",
    capability: "identity",
    needs: ["whoAmI"],
    async run(context) {
      const { harness, open, delegate, observe, same } = context;
      const opened = await open();
      for (const human of harness.humans) {
        const delegation = await delegate(human);
        await opened.act(delegation, async (probe) => {
          await probe.look();
          const asked = await tripsOf(context, probe.whoAmI);
          const { name, subject, actors, native } = asked.value;
          same("whoAmI asks the backend", asked.trips.backend > 0, true);
          same("the human that the backend names", subject, human.subject);
          // An exchange may have added the gateway; it must not have dropped anybody.
          const dropped = delegation.identity.actors.filter(
            (actor) => !actors.includes(actor.subject),
          );
          same("actors that the backend does not know", dropped, []);
          same("whoAmI names the backend's user", name !== "", true);
          const { sessions } = await observe();
          const ids = Object.values(native).map(String);
          const isKnown = sessions.length === 0 || sessions.some((id) => ids.includes(id));
          same("whoAmI names one of the backend's sessions", isKnown, true);
        });
      }
    },
  },
  {
    id: "delegation.actor",
    group: "delegation",
    title: "two agents of one human, in turn, are two actors to the backend",
    capability: "identity",
    skipped: ({ agents }) => (agents.length > 1 ? null : "the harness names one agent"),
    async run({ harness, open, delegate, observe, same, alice }) {
      const opened = await open();
      for (const agent of [...harness.agents, ...harness.agents]) {
        const before = await observe();
        same("what is shown", await opened.act(await delegate(alice, { agent }), look), [
          alice.owner,
        ]);
        const after = await observe();
        const moved = harness.agents.filter((one) => timesOf(after, one) > timesOf(before, one));
        same(`whom the backend saw acting when ${agent} did`, moved, [agent]);
      }
    },
  },
  {
    id: "delegation.another-humans-credential",
    group: "delegation",
    title: "a credential of another human is noticed, and that human's data is shown to nobody",
    capability: "identity",
    async run(context) {
      const { until, open, delegate, observe, same, alice, bob } = context;
      const opened = await open();
      const bobs = await delegate(bob);
      opened.credentials.answer((_, real) => real.credential(bobs));
      const { error, shown, letThrough } = await attempted(context, opened, await delegate(alice));
      same("how the call ends", codeOf(error), "backend.identity_mismatch");
      same("what is shown", shown, []);
      same("what the backend let through", letThrough, []);
      await until("the backend works on nothing", async () => (await observe()).running === 0);
      same("what is left on idle sessions", (await observe()).left, []);
    },
  },
  {
    id: "delegation.last-humans-credential",
    group: "delegation",
    title:
      "the same for a credential that was that human's own a call ago, and is known to the adapter",
    capability: "identity",
    async run(context) {
      const { open, delegate, same, alice, bob } = context;
      const opened = await open();
      same("what is shown to its human", await opened.act(await delegate(bob), look), [bob.owner]);
      const [bobs] = opened.credentials.given;
      opened.credentials.answer(async () => bobs as Credential);
      const { error, shown, letThrough } = await attempted(context, opened, await delegate(alice));
      same("how the call ends", codeOf(error), "backend.identity_mismatch");
      same("what is shown", shown, []);
      same("what the backend let through", letThrough, []);
    },
  },
  {
    id: "delegation.actor-chain",
    group: "delegation",
    title: "a longer chain of actors, or the same in another order, is proved by itself",
    capability: null,
    skipped: ({ agents }) => (agents.length > 1 ? null : "the harness names one agent"),
    async run({ harness, open, delegate, same, alice }) {
      const opened = await open();
      const [first, second] = harness.agents.map((subject) => ({ subject }));
      const { identity } = await delegate(alice);
      for (const actors of [[first], [first, second], [second, first]] as Actors[]) {
        const { asked } = opened.credentials;
        const { callId } = await delegate(alice);
        // Whoever issues or checks tokens may refuse it.
        await errorOf(opened.act({ callId, identity: { ...identity, actors } }, look));
        same("whether a credential was asked for", opened.credentials.asked > asked, true);
      }
    },
  },
  {
    id: "delegation.plan",
    group: "delegation",
    title: "plan says what would be sent, without sending it and without a secret",
    capability: null,
    ways: "once",
    async run(context) {
      const { open, delegate, same, alice } = context;
      const opened = await open();
      const delegation = await delegate(alice);
      const { value: plan, trips } = await tripsOf(context, () => opened.plan(delegation));
      same("what plan sends", trips, { backend: 0, identity: 0 });
      same("credentials that plan asks for", opened.credentials.asked, 0);
      same(
        "the human and the backend",
        [plan.subject, plan.backend],
        [alice.subject, opened.backend],
      );
      same("a plan has steps", plan.steps.length > 0, true);
      same("a second plan", opened.plan(delegation), plan);
      const token = delegation.identity.token.reveal();
      same("the plan holds the token", everythingIn(plan).includes(token), false);
    },
  },
  {
    id: "delegation.decision-first",
    group: "delegation",
    title: "the decision is durable before anything is sent, and the outcome is written after it",
    capability: null,
    async run(context) {
      const { open, delegate, observe, same, alice, bob } = context;
      const opened = await open();
      // The first call also connects.
      await opened.act(await delegate(alice), look);
      const delegation = await delegate(alice);
      const held = heldRecords(context, opened, "decision");
      const other = await open();
      const before = await observe();
      const call = opened.act(delegation, look);
      call.catch(() => {});
      await held.reached();
      // As long as these take, the call would have had time to run.
      for (let n = 0; n < 3; n++) await other.act(await delegate(bob), look);
      const letThrough = readsBetween(before, await observe());
      same("what happens while the decision is not durable", letThrough, ownReads(bob));
      held.go();
      same("what is shown", await call, [alice.owner]);
      const { kinds, decision, outcome } = recordsOf(opened, delegation.callId);
      same("the records of the call", kinds, ["decision", "outcome"]);
      same(
        "the decision",
        [
          decision?.subject,
          decision?.actors,
          decision?.decision,
          decision?.backend,
          decision?.access,
        ],
        [alice.subject, delegation.identity.actors, "allow", opened.backend, "read"],
      );
      same("the outcome", [outcome?.status, outcome?.code], ["ok", undefined]);
    },
  },
  {
    id: "delegation.each-end-on-record",
    group: "delegation",
    title: "however a call ends, one decision is on record, and one outcome where it was allowed",
    capability: null,
    skipped: ({ capabilities }) =>
      (capabilities["deadline"]?.grade ?? "refused") === "refused"
        ? "the adapter does not stop what runs at the backend"
        : null,
    async run({ until, open, delegate, observe, same, alice, bob }) {
      const opened = await open();
      const running = (count: number) =>
        until("the backend works on it", async () => (await observe()).running === count);
      await opened.act(await delegate(alice), look);
      await errorOf(opened.act(await delegate(alice), (probe) => probe.fail()));
      await errorOf(opened.act(await delegate(alice), look, { signal: AbortSignal.abort() }));
      await errorOf(
        opened.act(await delegate(alice), (probe) => probe.hold(), { deadlineMs: 100 }),
      );
      await running(0);
      const stop = new AbortController();
      const { signal } = stop;
      const given = errorOf(opened.act(await delegate(bob), (probe) => probe.hold(), { signal }));
      await running(1);
      stop.abort();
      await given;
      await running(0);
      const revoked = errorOf(opened.act(await delegate(alice), (probe) => probe.hold()));
      await running(1);
      await opened.invalidate(alice.subject);
      await revoked;
      opened.credentials.answer(() => Promise.reject(new Error("the issuer is away")));
      await errorOf(opened.act(await delegate(bob), look));
      await opened.close();
      await errorOf(opened.act(await delegate(bob), look));
      const { records } = opened.records;
      // What was stopped in the middle of a statement says so a moment after its call.
      await until("each has its records", () => unbalanced(records).length === 0).catch(() => {});
      same("calls without their records", unbalanced(records), []);
      const codes = records.flatMap(({ code }) => code ?? []);
      for (const code of ["cancelled", "timeout", "identity.revoked", "closed"]) {
        same(`whether ${code} is on record`, codes.includes(code as (typeof codes)[number]), true);
      }
    },
  },
  {
    id: "delegation.record-of-a-write",
    group: "delegation",
    title: "a write is on record as one, and belongs to the human at the backend",
    capability: "writes",
    needs: ["change"],
    async run({ open, delegate, observe, same, alice }) {
      const opened = await open();
      const delegation = await delegate(alice);
      const mark = `mark ${delegation.callId}`;
      await opened.act(delegation, async (probe) => probe.change(mark), {
        access: "write",
      });
      const written = (await observe()).writes.filter((one) => one.mark === mark);
      same("what the backend holds", written, [{ subject: alice.subject, mark }]);
      const { decision, outcome } = recordsOf(opened, delegation.callId);
      same("the records", [decision?.access, outcome?.status], ["write", "ok"]);
    },
  },
];

/** Calls that have anything but one decision, and one outcome where that allowed them. */
function unbalanced(records: readonly AuditRecord[]): readonly string[] {
  return [...Map.groupBy(records, ({ id }) => id)].flatMap(([id, mine]) => {
    const kinds = mine.map((record) => (record.kind === "decision" ? record.decision : "outcome"));
    return ["deny", "allow,outcome"].includes(kinds.join()) ? [] : [`${id}: ${kinds.join()}`];
  });
}
