import type { RunOptions, Task } from "@behalf/core";
import { expect, it } from "vitest";

import { type Harness, type Observation, type Probe, runConformance } from "./index.ts";
import { type MemoryAdapter, memoryHarness, type MemorySession } from "./memory/index.ts";

type Memory = Harness<MemorySession, MemoryAdapter>;

/** A harness whose probe is not what it says, in every way to call the adapter. */
function probing(lie: (probe: Probe) => Partial<Probe>): Memory {
  const harness = memoryHarness();
  const lying = (probe: Probe): Probe => ({ ...probe, ...lie(probe) });
  return {
    ...harness,
    probe: (session) => lying(harness.probe(session)),
    ways: (harness.ways ?? []).map((way) => ({
      ...way,
      run: (adapter, delegation, work, options?: RunOptions) =>
        way.run(adapter, delegation, (probe) => work(lying(probe)), options),
    })),
  };
}

function observing(lie: (seen: Observation, first: Observation) => Partial<Observation>): Memory {
  const harness = memoryHarness();
  let first: Observation | undefined;
  return {
    ...harness,
    async observe() {
      const seen = await harness.observe();
      first ??= seen;
      return { ...seen, ...lie(seen, first) };
    },
  };
}

function saying(lie: (harness: Memory) => Partial<Memory>): Memory {
  const harness = memoryHarness();
  return { ...harness, ...lie(harness) };
}

const EVERYTHING: Task = {
  id: "everything",
  expiresAtMs: Date.now() + 600_000,
  authorizationDetails: [
    { type: "table", actions: ["read", "create"], objects: ["notes", "diary"] },
  ],
};

const LIES: readonly (readonly [string, Memory, string])[] = [
  ["always observes the same", observing((_, first) => first), "delegation.backend-sees-the-human"],
  ["observes no reads", observing(() => ({ reads: [] })), "delegation.backend-sees-the-human"],
  [
    "observes no actors",
    observing(({ reads }) => ({ reads: reads.map((one) => ({ ...one, actors: [] })) })),
    "delegation.actor",
  ],
  ["observes no writes", observing(() => ({ writes: [] })), "delegation.record-of-a-write"],
  ["observes nothing that runs", observing(() => ({ running: 0 })), "isolation.abort"],
  [
    "counts no trips",
    observing(({ trips }) => ({ trips: { ...trips, backend: 0 } })),
    "delegation.who-am-i",
  ],
  [
    "looks at nothing",
    probing(() => ({ look: async () => [] })),
    "fail-closed.past-the-tokens-end",
  ],
  ["holds nothing", probing(() => ({ hold: async () => {} })), "isolation.timeout"],
  ["fails at nothing", probing(() => ({ fail: async () => {} })), "errors.backend-fails"],
  ["changes nothing", probing(() => ({ change: async () => {} })), "errors.abort-at-the-commit"],
  ["echoes by itself", probing(() => ({ echo: async (value) => value })), "injection.values"],
  ["looks no wider", probing((probe) => ({ wider: () => probe.look() })), "task-scope.narrow"],
  ["narrows to everything", saying(() => ({ narrowTask: () => EVERYTHING })), "task-scope.narrow"],
  [
    "has a stranger whom the backend knows",
    saying((harness) => ({ stranger: () => harness.delegate(harness.humans[0]) })),
    "fail-closed.stranger",
  ],
  [
    "names one human twice",
    saying(({ humans: [alice] }) => ({ humans: [alice, alice] })),
    "delegation.another-humans-credential",
  ],
  [
    "names one agent twice",
    saying(({ agents: [agent] }) => ({ agents: [agent, agent] })),
    "delegation.actor",
  ],
  [
    "cuts no connection",
    saying(({ faults }) => ({ faults: { ...faults, down: async () => async () => {} } })),
    "errors.unreachable",
  ],
  [
    "loses no answer",
    saying(() => ({
      faults: { down: async () => async () => {}, loseAnswer: async () => () => {} },
    })),
    "errors.lost-answer",
  ],
];

it.each(LIES)("a harness that %s is found out", async (_, harness, id) => {
  const report = await runConformance(harness, {
    patienceMs: 200,
    timeoutMs: 700,
    only: (one) => one === id,
  });
  expect(report.results.map(({ status }) => status)).toContain("failed");
});

it("the reference's own is not: the control", async () => {
  const ids = LIES.map(([, , id]) => id);
  const report = await runConformance(memoryHarness(), { only: (one) => ids.includes(one) });
  expect(report.results.filter(({ status }) => status === "failed")).toEqual([]);
});
