import type { Adapter, Delegation, RunOptions } from "@behalf/core";

import { everythingIn } from "./secret-scan.ts";
import { type FullProbe, fullProbe } from "./full-probe.ts";
import type { AdapterParts, Harness, OptionalProbe, Way } from "./harness.ts";

/** The way that every adapter has. */
export const RUN = "run";

/** An adapter of which nobody needs to know what its sessions look like. */
export interface OpenedAdapter extends Pick<
  Adapter<unknown>,
  "backend" | "capabilities" | "specificationVersion" | "plan" | "invalidate" | "close"
> {
  /** Everything that printing the adapter could show. */
  inspected(): string;
  /** @param way the name of one of {@link BoundHarness.ways} */
  call<T>(
    way: string,
    delegation: Delegation,
    work: (probe: FullProbe) => Promise<T>,
    options?: RunOptions,
  ): Promise<T>;
}

/** What cases may know of a harness: everything but what its sessions look like. */
export type HarnessFacts = Omit<Harness<never, never>, "adapter" | "probe" | "ways">;

/** A harness of which nobody needs to know what its sessions look like. */
export interface BoundHarness {
  readonly facts: HarnessFacts;
  readonly ways: readonly BoundWay[];
  open(parts: AdapterParts): Promise<OpenedAdapter>;
}

export interface BoundWay {
  readonly name: string;
  readonly isCallback: boolean;
  readonly lacks: readonly OptionalProbe[];
}

/** @throws TypeError when two ways have one name */
export function bindHarness<Session, A extends Adapter<Session>>(
  harness: Harness<Session, A>,
): BoundHarness {
  const run: Way<A> = {
    name: RUN,
    isCallback: true,
    run: (adapter, delegation, work, options) =>
      adapter.run(delegation, (session) => work(harness.probe(session)), options),
  };
  const ways = [run, ...(harness.ways ?? [])];
  const byName = new Map(ways.map((way) => [way.name, way]));
  if (byName.size !== ways.length) {
    throw new TypeError(
      "harness: two ways have one name, or one is called `run`, which is there already",
    );
  }
  return {
    facts: harness,
    ways: ways.map(({ name, isCallback = false, lacks = [] }) => ({ name, isCallback, lacks })),
    async open(parts) {
      const adapter = await harness.adapter(parts);
      return {
        inspected: () => everythingIn(adapter),
        backend: adapter.backend,
        specificationVersion: adapter.specificationVersion,
        capabilities: adapter.capabilities,
        plan: (delegation) => adapter.plan(delegation),
        invalidate: (subject) => adapter.invalidate(subject),
        close: () => adapter.close(),
        call(name, delegation, work, options) {
          const way = byName.get(name);
          if (way === undefined) throw new TypeError(`harness: there is no way called ${name}`);
          return way.run(adapter, delegation, (probe) => work(fullProbe(probe)), options);
        },
      };
    },
  };
}
