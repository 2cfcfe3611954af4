import { codeOf, errorOf, heldRecords, look, turns } from "../case-tools.ts";
import type { ConformanceCase } from "../conformance-case.ts";

export const revocationCases: readonly ConformanceCase[] = [
  {
    id: "revocation.cached",
    group: "revocation",
    title: "invalidate drops what is cached for the human, and for nobody else",
    capability: null,
    async run({ open, delegate, observe, same, alice, bob }) {
      const opened = await open();
      const alices = await delegate(alice);
      const bobs = await delegate(bob);
      const identityTrips = async (delegation: typeof alices) => {
        const before = (await observe()).trips.identity;
        const { asked } = opened.credentials;
        await opened.act(delegation, look);
        const trips = (await observe()).trips.identity - before;
        return { trips, asked: opened.credentials.asked - asked };
      };
      const cold = await identityTrips(alices);
      await identityTrips(bobs);
      const warm = [await identityTrips(alices), await identityTrips(bobs)];
      await opened.invalidate(alice.subject);
      same("for whom credentials are dropped", opened.credentials.invalidated, [alice.subject]);
      same("what the human's next call costs at the issuer", await identityTrips(alices), cold);
      same("what another human's next call costs", await identityTrips(bobs), warm[1]);
    },
  },
  {
    id: "revocation.each-agent",
    group: "revocation",
    title: "invalidate drops what is cached for every agent that acts for the human",
    capability: null,
    skipped: ({ agents }) => (agents.length > 1 ? null : "the harness names one agent"),
    async run({ harness, open, delegate, observe, same, alice }) {
      const opened = await open();
      const delegations = await Promise.all(
        harness.agents.map((agent) => delegate(alice, { agent })),
      );
      const costs = async () => {
        const each = [];
        for (const delegation of delegations) {
          const before = (await observe()).trips.identity;
          const { asked } = opened.credentials;
          await opened.act(delegation, look);
          const trips = (await observe()).trips.identity - before;
          each.push({ trips, asked: opened.credentials.asked - asked });
        }
        return each;
      };
      const cold = await costs();
      await opened.invalidate(alice.subject);
      same("what each one's next call costs at the issuer", await costs(), cold);
    },
  },
  {
    id: "revocation.any-instant",
    group: "revocation",
    title: "in whichever instant of a first call invalidate comes, nothing older is kept",
    capability: null,
    ways: "once",
    async run({ open, delegate, same, alice }) {
      for (let instants = 0; instants < 16; instants++) {
        const opened = await open();
        const delegation = await delegate(alice);
        const call = errorOf(opened.act(delegation, look));
        await turns(instants);
        await opened.invalidate(alice.subject);
        const error = await call;
        same(
          "how it ends",
          [codeOf(error), ["no error", "identity.revoked"].includes(codeOf(error))],
          [codeOf(error), true],
        );
        // What was under way arrives.
        await turns(8);
        const { asked } = opened.credentials;
        const { callId } = await delegate(alice);
        same("what is shown", await opened.act({ ...delegation, callId }, look), [alice.owner]);
        same("whether a credential is asked for", opened.credentials.asked > asked, true);
        await opened.close();
      }
    },
  },
  {
    id: "revocation.waits-for-its-record",
    group: "revocation",
    title: "a call that waits for its record is refused, and nothing is sent",
    capability: null,
    async run(context) {
      const { open, delegate, observe, same, alice } = context;
      const opened = await open();
      await opened.act(await delegate(alice), look);
      const delegation = await delegate(alice);
      const held = heldRecords(context, opened, "decision");
      const before = (await observe()).trips.backend;
      const call = errorOf(opened.act(delegation, look));
      await held.reached();
      await opened.invalidate(alice.subject);
      held.go();
      same("how it ends", codeOf(await call), "identity.revoked");
      same("what is sent", (await observe()).trips.backend - before, 0);
    },
  },
  {
    id: "revocation.in-flight",
    group: "revocation",
    title: "a call whose credential is being fetched is refused, and nothing is sent",
    capability: null,
    async run({ gate, until, open, delegate, observe, same, alice, bob }) {
      const opened = await open();
      await opened.act(await delegate(bob), look);
      const delegation = await delegate(alice);
      const held = gate();
      let waits = 0;
      opened.credentials.answer(async (_, real) => {
        waits += 1;
        // What arrives is older than the revocation.
        const credential = await real.credential(delegation);
        await held.opened;
        return credential;
      });
      const before = (await observe()).trips.backend;
      const call = errorOf(opened.act(delegation, look));
      await until("a credential is asked for", () => waits > 0);
      await opened.invalidate(alice.subject);
      held.open();
      same("how it ends", codeOf(await call), "identity.revoked");
      same("what is sent", (await observe()).trips.backend - before, 0);
      // What arrived late was not kept, either.
      const { asked } = opened.credentials;
      await opened.act(await delegate(alice), look);
      same("credentials asked for by the next call", opened.credentials.asked > asked, true);
    },
  },
  {
    id: "revocation.running",
    group: "revocation",
    title: "what runs for the human is stopped, at the backend, too, and nobody else's call is",
    capability: "deadline",
    async run({ until, open, delegate, observe, same, alice, bob }) {
      const opened = await open();
      // What an adapter asks once, at its first call, must not be taken for one of these.
      for (const human of [alice, bob]) await opened.act(await delegate(human), look);
      const stop = new AbortController();
      const others = errorOf(
        opened.act(await delegate(bob), (probe) => probe.hold(), { signal: stop.signal }),
      );
      await until("the other call runs", async () => (await observe()).running === 1);
      const call = errorOf(opened.act(await delegate(alice), (probe) => probe.hold()));
      await until("both calls run", async () => (await observe()).running === 2);
      // The same name at another issuer is somebody else.
      await opened.invalidate({
        issuer: "https://elsewhere.example",
        subject: alice.subject.subject,
      });
      same("what runs after somebody else's revocation", (await observe()).running, 2);
      await opened.invalidate(alice.subject);
      same("how it ends", codeOf(await call), "identity.revoked");
      await until("the backend has stopped", async () => (await observe()).running === 1);
      stop.abort();
      same("how the other call ends", codeOf(await others), "cancelled");
    },
  },
  {
    id: "revocation.in-the-callback",
    group: "revocation",
    title: "a session whose human is revoked between two statements sends no further one",
    capability: null,
    ways: "callbacks",
    async run({ until, open, delegate, observe, same, alice }) {
      const opened = await open();
      const counted = async () =>
        (await observe()).reads.reduce((sum, { times = 1 }) => sum + times, 0);
      const start = await counted();
      await opened.act(await delegate(alice), look);
      const before = await counted();
      const once = before - start;
      let gone: unknown;
      const delegation = await delegate(alice);
      const error = await errorOf(
        opened.act(delegation, async (probe) => {
          await probe.look();
          await opened.invalidate(alice.subject);
          gone = await errorOf(probe.look());
        }),
      );
      same("how it ends", codeOf(error), "identity.revoked");
      await until("the callback has gone on", () => gone !== undefined);
      same("whether the later statement is refused", gone !== null, true);
      // A backend may count what a transaction read when that ends.
      await until(
        "what the first statement read is counted",
        async () => (await counted()) - before >= once,
      );
      same("what the backend let through", (await counted()) - before, once);
    },
  },
];
