import type {
  Adapter,
  Capabilities,
  CredentialSource,
  Delegation,
  Evidence,
  Principal,
  RecordSink,
  RunOptions,
  SubjectRef,
  Task,
} from "@behalf/core";

/** Somebody whom the identity provider and the backend know. */
export interface Human {
  /** For people, for example `alice`. */
  readonly name: string;
  readonly subject: SubjectRef;
  /** What {@link Probe.look} and the backend call the data of this human, which no other human may see. */
  readonly owner: string;
  /** The same for {@link Probe.wider}. */
  readonly widerOwner?: string;
}

export interface DelegateOptions {
  /** One of {@link Harness.agents}. Default is the first. */
  readonly agent?: string;
  readonly task?: Task;
  readonly tool?: string;
  /** A claim of the human's that travels to the backend, as {@link Probe.claim} gives it back. */
  readonly claim?: string;
}

/** What the suite gives an adapter. */
export interface AdapterParts {
  readonly records: RecordSink;
  readonly credentials: CredentialSource;
  /**
   * Most connections, sessions or clients that all humans share. The suite says `1` where it looks for
   * what one human leaves to the next. An adapter that shares none ignores it.
   */
  readonly connections?: number;
}

/**
 * The functions of a {@link Probe} that not every adapter can have. `change` belongs to the capability
 * `writes` and `wider` to `taskScope`; the others are named in {@link Harness.probes}.
 */
export type OptionalProbe =
  | "change"
  | "wider"
  | "echo"
  | "claim"
  | "residue"
  | "hostile"
  | "whoAmI";

/**
 * What the suite does at the backend, as one human. Each function sends something for the adapter under
 * test and gives back what came; none of them checks anything. The cases of a function that is not there
 * are skipped aloud.
 */
export interface Probe {
  /** Reads. Gives the owner of each row, document or object that came; there is at least one for each human. */
  look(): Promise<readonly string[]>;
  /** Keeps the backend busy for at least 20 s, unless it is stopped. */
  hold(): Promise<unknown>;
  /** Something that the backend fails at, with {@link Harness.nativeCode}. */
  fail(): Promise<unknown>;
  /** The session's own: it asks the backend. Every `run` has it; other ways need not. */
  whoAmI?(): Promise<Principal>;
  /** Writes one entry with this mark, which belongs to the human. Capability `writes`. */
  change?(mark: string): Promise<unknown>;
  /** Reads other data of the human's, which {@link Harness.narrowTask} does not cover. Capability `taskScope`. */
  wider?(): Promise<readonly string[]>;
  /** Sends a value, and gives it back as the backend had it. */
  echo?(value: string): Promise<unknown>;
  /** {@link DelegateOptions.claim} as the backend has it. */
  claim?(): Promise<unknown>;
  /** Tries to leave something on whatever the next human will use. It may be refused. */
  leave?(): Promise<unknown>;
  /** What it finds of that; nothing but empty lists are right. */
  residue?(): Promise<readonly string[]>;
  /**
   * Attempts to see or change more than this human may, each by its name. They may be refused or not: the
   * suite asks the backend what they gained.
   */
  readonly hostile?: { readonly [name: string]: () => Promise<unknown> };
}

/** A way to call the adapter, beside `run`: an SQL adapter has `query` and `stream`, too. */
export interface Way<A> {
  /** For people, for example `query, agent's text`. */
  readonly name: string;
  /**
   * Lets `work` act. Each function of its probe may be a call of its own.
   *
   * @param options hold for each of them
   */
  run<T>(
    adapter: A,
    delegation: Delegation,
    work: (probe: Probe) => Promise<T>,
    options?: RunOptions,
  ): Promise<T>;
  /** What its probe does not have, although the harness declares it. Default is nothing. */
  readonly lacks?: readonly OptionalProbe[];
  /** Whether `work` runs inside the adapter's own callback, as one call. Default is `false`. */
  readonly isCallback?: boolean;
}

/** Whose data the backend let through. */
export interface Seen {
  /** Who the backend thought was calling, or `null` for nobody. */
  readonly subject: SubjectRef | null;
  /** Who acted, as far as the backend knows. */
  readonly actors: readonly string[];
  readonly owner: string;
  /** Default is `1`: a list with an entry for each time says the same. */
  readonly times?: number;
}

/**
 * What the backend says of itself, asked past the adapter. What ended before the question is in the
 * answer; numbers only grow, since the harness began.
 */
export interface Observation {
  readonly reads: readonly Seen[];
  /** Everything that {@link Probe.change} left, as it stands now: one entry for each time. */
  readonly writes: readonly { readonly subject: SubjectRef | null; readonly mark: string }[];
  /** How many requests the backend is working on now. */
  readonly running: number;
  /** The backend's own names of the connections or sessions that it holds for the adapter. */
  readonly sessions: readonly string[];
  /**
   * What was found on idle ones, asked on these connections themselves: an identity, settings, locks,
   * temporary objects, an open transaction. Nothing but an empty list is right.
   */
  readonly left: readonly string[];
  /** Requests that reached the backend, and the identity provider. */
  readonly trips: { readonly backend: number; readonly identity: number };
}

/** What can be done to the way between adapter and backend. */
export interface Faults {
  /** Makes the backend unreachable, until the returned function is called. */
  down(): Promise<() => Promise<void>>;
  /**
   * The next request arrives and is worked on; its answer is lost. For a write: that of its commit. The
   * returned function takes it back where no request has come.
   */
  loseAnswer?(): Promise<() => void>;
}

/**
 * What the suite needs to know of a backend and its adapter. Its functions may be called any number of
 * times, and everything that needs time (a server, a schema) may be made in a `beforeAll` of the caller's.
 */
export interface Harness<Session, A extends Adapter<Session> = Adapter<Session>> {
  /** The adapter's {@link Adapter.backend}. */
  readonly backend: string;
  /** How this run knows what it shows: a real account, an independent engine, or an emulation. */
  readonly evidence: Evidence;
  /** The adapter's {@link Adapter.capabilities}: known before there is one, to say what is skipped. */
  readonly capabilities: Capabilities;
  readonly humans: readonly [Human, Human, ...Human[]];
  /** The agents that may act for them, as the backend names them; with two or more, actors are told apart. */
  readonly agents: readonly [string, ...string[]];
  /** What the backend says when {@link Probe.fail} fails. */
  readonly nativeCode: string;
  /** Whether the identity provider gives out a delegation for a human whom the backend has never heard of. */
  stranger?(): Promise<Delegation>;
  delegate(human: Human, options?: DelegateOptions): Promise<Delegation>;
  /** One whose proof ends within seconds, at the issuer and at the backend, so that the suite can wait for it. */
  briefly?(human: Human): Promise<Delegation>;
  /** A new source of credentials, with nothing cached. It asks a real identity provider, or the backend's own. */
  credentials(): CredentialSource;
  /** A new adapter with nothing cached. The suite closes it. */
  adapter(parts: AdapterParts): A | Promise<A>;
  probe(session: Session): Probe;
  /** Which of these {@link Harness.probe} has. Default is none. */
  readonly probes?: readonly Exclude<OptionalProbe, "change" | "wider" | "whoAmI">[];
  readonly ways?: readonly Way<A>[];
  observe(): Promise<Observation>;
  /** Covers reading with {@link Probe.look} and nothing else. Capability `taskScope`. */
  narrowTask?(human: Human): Task;
  readonly faults?: Faults;
  /** What must never be seen beside the tokens that the suite knows: passwords, keys, connection strings. */
  secrets?(): readonly string[];
  /**
   * Round trips to the backend for one {@link Probe.look} of a human who called before, by the name of the
   * way. More fail. Without it they are only printed.
   */
  readonly roundTrips?: { readonly [way: string]: number };
}
