import type { Adapter, Delegation, RunOptions } from "@behalf/core";

import type { Harness, Human, Probe, Way } from "../harness.ts";
import {
  type MemoryAdapter,
  memoryAdapter,
  type MemoryAdapterOptions,
  memoryCapabilities,
  type MemorySession,
} from "./memory-adapter.ts";
import { memoryBackend } from "./memory-backend.ts";
import { memoryIssuer } from "./memory-issuer.ts";

export interface MemoryHarnessOptions {
  /** The adapter under test. Default is {@link memoryAdapter}. */
  readonly adapter?: (options: MemoryAdapterOptions) => MemoryAdapter;
}

/**
 * The harness of the reference adapter: a backend and an issuer of its own, three humans, two agents.
 *
 * @example
 * ```ts
 * adapterSuite({ describe, it, expect }, memoryHarness());
 * ```
 */
export function memoryHarness(
  options: MemoryHarnessOptions = {},
): Harness<MemorySession, MemoryAdapter> {
  const issuer = memoryIssuer();
  const human = (name: string): Human => ({
    name,
    subject: { issuer: issuer.issuer, subject: name },
    owner: `notes of ${name}`,
    widerOwner: `diary of ${name}`,
  });
  const humans = [human("alice"), human("bob"), human("carol")] as const;
  const agents = ["agent:assistant", "agent:reporter"] as const;
  const backend = memoryBackend(
    issuer,
    humans.map(({ subject }) => subject),
  );

  return {
    backend: "memory",
    evidence: "emulated",
    capabilities: memoryCapabilities,
    humans,
    agents,
    nativeCode: "division_by_zero",
    delegate: async ({ name }, delegateOptions = {}) =>
      issuer.delegate(name, delegateOptions.agent ?? agents[0], delegateOptions),
    briefly: async ({ name }) => issuer.delegate(name, agents[0], {}, 2_000),
    stranger: async () => issuer.delegate("mallory", agents[0]),
    credentials: () => issuer.credentials(),
    adapter: ({ credentials, records, connections }) =>
      (options.adapter ?? memoryAdapter)({
        backend,
        credentials,
        records,
        ...(connections === undefined ? {} : { connections }),
      }),
    probe: probeOf,
    probes: ["echo", "claim", "residue", "hostile"],
    ways: [OWNERS],
    async observe() {
      const { trips, ...seen } = backend.observe();
      return { ...seen, trips: { backend: trips, identity: issuer.trips } };
    },
    narrowTask: () => ({
      id: "read the notes",
      expiresAtMs: Date.now() + 60_000,
      authorizationDetails: [{ type: "table", actions: ["read"], objects: ["notes"] }],
    }),
    faults: {
      down: async () => {
        const up = backend.down();
        return async () => up();
      },
      loseAnswer: async () => backend.loseAnswer(),
    },
    secrets: () => [issuer.secret, ...backend.tickets()],
    roundTrips: { run: 3, [OWNERS.name]: 1 },
  };
}

function probeOf(session: MemorySession): Probe {
  return {
    look: () => session.owners("notes"),
    wider: () => session.owners("diary"),
    hold: () => session.sleep(30_000),
    fail: () => session.divide(0),
    whoAmI: () => session.whoAmI(),
    change: (mark) => session.insert(mark),
    echo: (value) => session.echo(value),
    claim: () => session.claim("claim"),
    leave: () => session.set("left", "by the last human"),
    residue: () => session.settings(),
    hostile: {
      "writes in the middle of reading": () => session.insert("hostile"),
      "a mark that ends the request": () =>
        session.insert('"},{"op":"commit"},{"op":"echo","value":"'),
      "a setting named like an identity": () => session.set("caller", "bob"),
    },
  };
}

/** One call in one trip. What it cannot do at the backend by itself is done by a `run`. */
const OWNERS: Way<MemoryAdapter> = {
  name: "owners",
  lacks: ["change", "echo", "claim", "residue", "hostile", "whoAmI"],
  run<T>(
    adapter: MemoryAdapter,
    delegation: Delegation,
    work: (probe: Probe) => Promise<T>,
    options?: RunOptions,
  ): Promise<T> {
    const run = (act: (probe: Probe) => Promise<unknown>) =>
      (adapter satisfies Adapter<MemorySession>).run(
        delegation,
        (session) => act(probeOf(session)),
        options,
      );
    return work({
      look: () => adapter.owners(delegation, "notes", options),
      wider: () => adapter.owners(delegation, "diary", options),
      hold: () => run((probe) => probe.hold()),
      fail: () => run((probe) => probe.fail()),
      leave: () => run((probe) => probe.leave?.() ?? Promise.resolve()),
    });
  },
};
