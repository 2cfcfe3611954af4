import type { Delegation, RunOptions } from "@behalf/core";

import type { BoundWay, HarnessFacts, OpenedAdapter } from "./bound-harness.ts";
import type { FullProbe } from "./full-probe.ts";
import type { Group } from "./groups.ts";
import type {
  AdapterParts,
  DelegateOptions,
  Human,
  Observation,
  OptionalProbe,
} from "./harness.ts";
import type { WatchedCredentials } from "./watched-credentials.ts";
import type { WatchedRecords } from "./watched-records.ts";

/** One thing that an adapter has to hold, run for each way to call it, or once. */
export interface ConformanceCase {
  /** For example `isolation.abort`. Mutants and reports name it. */
  readonly id: string;
  readonly group: Group;
  /** What holds, for people. */
  readonly title: string;
  /** The capability that it shows, or `null` for what every adapter does by itself. */
  readonly capability: string | null;
  /** Default is `each`. */
  readonly ways?: "each" | "callbacks" | "once";
  /** Functions of the probe that it uses, beside those that every probe has. */
  readonly needs?: readonly OptionalProbe[];
  /** Why this harness cannot run it, or `null`, where that is not said by `capability` and `needs`. */
  readonly skipped?: (harness: HarnessFacts) => string | null;
  run(context: CaseContext): Promise<void>;
}

/** An adapter that the suite made, with what it watches. */
export interface Opened extends OpenedAdapter {
  readonly credentials: WatchedCredentials;
  readonly records: WatchedRecords;
  /** One call in the case's own way. */
  act<T>(
    delegation: Delegation,
    work: (probe: FullProbe) => Promise<T>,
    options?: RunOptions,
  ): Promise<T>;
}

/** Something to wait for. */
export interface Gate {
  readonly opened: Promise<void>;
  readonly open: () => void;
}

/** What a case works with. */
export interface CaseContext {
  readonly harness: HarnessFacts;
  readonly way: BoundWay;
  readonly ways: readonly BoundWay[];
  readonly alice: Human;
  readonly bob: Human;
  readonly interleavings: number;
  readonly seed: number;
  /** A new adapter, which is closed when the case ends. */
  readonly open: (
    parts?: Pick<AdapterParts, "connections"> & Partial<Pick<Opened, "credentials" | "records">>,
  ) => Promise<Opened>;
  readonly delegate: (human: Human, options?: DelegateOptions) => Promise<Delegation>;
  readonly observe: () => Promise<Observation>;
  /** Fails the case unless both are deeply equal. `what` names it for people. */
  readonly same: (what: string, found: unknown, wanted: unknown) => void;
  /**
   * Waits until `condition` holds, for what happens a moment after its call: no longer than
   * {@link SuiteOptions.patienceMs}, and fails then.
   */
  readonly until: (what: string, condition: () => Promise<boolean> | boolean) => Promise<void>;
  /** What the suite holds back until it is opened, at the latest when the case ends. */
  readonly gate: () => Gate;
  /** A figure or a sentence for the report. */
  readonly note: (text: string) => void;
}
