import {
  codeOf,
  errorOf,
  look,
  oneOf,
  ownReads,
  readsBetween,
  recordsOf,
  tripsOf,
} from "../case-tools.ts";
import type { ConformanceCase } from "../conformance-case.ts";
import { HARD_VALUES, HOSTILE_VALUES } from "../hostile-values.ts";

/** How a value is refused that cannot be held. */
const CODES = ["statement.refused", "backend.failed", "backend.denied", "configuration"];

export const injectionCases: readonly ConformanceCase[] = [
  {
    id: "injection.values",
    group: "injection",
    title: `${HOSTILE_VALUES.length} hostile values come back as they were sent`,
    capability: null,
    needs: ["echo"],
    async run(context) {
      const { open, delegate, observe, same, alice } = context;
      const opened = await open();
      const before = await observe();
      for (const [name, value] of HOSTILE_VALUES) {
        const found = await opened.act(await delegate(alice), (probe) => probe.echo(value));
        same(name, found, value);
      }
      // Else a probe that gives back what it got would show nothing.
      const { trips } = await opened.act(await delegate(alice), (probe) =>
        tripsOf(context, () => probe.echo("a value")),
      );
      same("whether a value is sent", trips.backend > 0, true);
      same("what the backend let through", readsBetween(before, await observe()), []);
      same("what is shown afterwards", await opened.act(await delegate(alice), look), [
        alice.owner,
      ]);
    },
  },
  {
    id: "injection.hard-values",
    group: "injection",
    title: "values that not every backend can hold come back as they were sent, or are refused",
    capability: null,
    needs: ["echo"],
    async run({ open, delegate, same, alice, bob }) {
      const opened = await open({ connections: 1 });
      for (const [name, value] of HARD_VALUES) {
        const delegation = await delegate(alice);
        let found: unknown;
        const error = await errorOf(async () => {
          found = await opened.act(delegation, (probe) => probe.echo(value));
        });
        if (error === null) same(name, found, value);
        else same(`how ${name} is refused`, codeOf(error), oneOf(codeOf(error), CODES));
        same(
          `what the next human is shown after ${name}`,
          await opened.act(await delegate(bob), look),
          [bob.owner],
        );
      }
    },
  },
  {
    id: "injection.claims",
    group: "injection",
    title: `${HOSTILE_VALUES.length} hostile claim values arrive as data, and change nobody's rights`,
    capability: "identity",
    needs: ["claim"],
    async run({ open, delegate, observe, same, alice, bob }) {
      const opened = await open({ connections: 1 });
      const before = await observe();
      for (const [name, claim] of HOSTILE_VALUES) {
        const delegation = await delegate(alice, { claim });
        const found = await opened.act(delegation, (probe) => probe.claim());
        same(name, found, claim);
        same(`what is shown with ${name}`, await opened.act(delegation, look), [alice.owner]);
      }
      same("what the next human is shown", await opened.act(await delegate(bob), look), [
        bob.owner,
      ]);
      same(
        "what the backend let through",
        readsBetween(before, await observe()),
        ownReads(alice, bob),
      );
    },
  },
  {
    id: "injection.tool-and-task",
    group: "injection",
    title: "hostile names of tools arrive as data, in the records, too",
    capability: "identity",
    async run({ open, delegate, observe, same, alice }) {
      const opened = await open();
      const before = await observe();
      for (const [name, tool] of HOSTILE_VALUES) {
        const delegation = await delegate(alice, { tool });
        same(`what is shown with ${name}`, await opened.act(delegation, look), [alice.owner]);
        same(name, recordsOf(opened, delegation.callId).decision?.tool, tool);
      }
      same("what the backend let through", readsBetween(before, await observe()), ownReads(alice));
    },
  },
  {
    id: "injection.hostile",
    group: "injection",
    title: "what the harness calls hostile gains nothing, for its human or for the next one",
    capability: null,
    needs: ["hostile"],
    async run({ harness, open, delegate, observe, same, alice, bob, note, way }) {
      const opened = await open({ connections: 1 });
      let names: readonly string[] = [];
      // Only inside a call is there a probe to ask.
      await opened.act(await delegate(alice), async (probe) => {
        names = Object.keys(probe.hostile);
        await probe.look();
      });
      same("whether there are hostile attempts", names.length > 0, true);
      const accesses =
        harness.capabilities["writes"] && !way.lacks.includes("change")
          ? (["read", "write"] as const)
          : (["read"] as const);
      for (const access of accesses) {
        for (const name of names) {
          const before = await observe();
          await errorOf(
            opened.act(await delegate(alice), async (probe) => probe.hostile[name]?.(), {
              access,
              deadlineMs: 5_000,
            }),
          );
          const what = `${name}, in a ${access}`;
          const shown = await opened.act(await delegate(bob), look);
          same(`what the next human is shown after: ${what}`, shown, [bob.owner]);
          const after = await observe();
          same(`what is left on idle sessions: ${what}`, after.left, []);
          const own = ownReads(alice, bob);
          const more = readsBetween(before, after).filter((line) => !own.includes(line));
          same(`what the backend let through: ${what}`, more, []);
          const isMore = access === "read" && after.writes.length > before.writes.length;
          same(`whether a read changed something: ${what}`, isMore, false);
          const foreign = after.writes
            .slice(before.writes.length)
            .filter(({ subject }) => subject?.subject !== alice.subject.subject);
          same(`what was changed in another's name: ${what}`, foreign, []);
        }
      }
      note(`${names.length} hostile attempts`);
    },
  },
];
