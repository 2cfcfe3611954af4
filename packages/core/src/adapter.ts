import type { Delegation } from "./delegation.ts";
import type { SubjectRef } from "./identity.ts";
import type { Statement } from "./statement.ts";

/** Who enforces a constraint: the backend itself, the adapter, or nobody, so that it is refused. */
export type Grade = "native" | "adapter" | "refused";

/** How a claim is known. What is only emulated never reads as proven. */
export type Evidence = "live" | "independent engine" | "emulated";

/** One constraint, who enforces it, and how that is known. */
export interface Capability {
  readonly grade: Grade;
  readonly evidence: Evidence;
  /** One sentence for people. */
  readonly note: string;
}

/** What an adapter promises, as data: documentation, conformance tests and consent pages read it. */
export type Capabilities = { readonly [name: string]: Capability };

/** One step of what an adapter would send. Secrets are redacted. */
export interface DelegationStep {
  readonly action: string;
  readonly parameters?: { readonly [name: string]: string | number | boolean | null };
}

/** What an adapter would do for a delegation: printed by `behalf explain`. */
export interface DelegationPlan {
  readonly backend: string;
  readonly subject: SubjectRef;
  readonly steps: readonly DelegationStep[];
}

/** The backend's own answer to the question who is calling. */
export interface Principal {
  /** The backend's own name for the user that runs the statement, for example a role. */
  readonly name: string;
  /** The human that the backend knows, or `null` where it knows none. */
  readonly subject: SubjectRef | null;
  /** The actors that the backend knows, current first. */
  readonly actors: readonly string[];
  /** Native evidence for the audit: process id, session id, request id. */
  readonly native: { readonly [name: string]: string | number };
}

export interface RunOptions {
  /** Cancels the call at the backend, too. */
  readonly signal?: AbortSignal;
  /** Longest time for the whole call, in milliseconds. The default is the adapter's. */
  readonly deadlineMs?: number;
  /** Default is `read`. */
  readonly access?: "read" | "write";
}

/**
 * Maps a delegation onto one backend, whose own rules then decide. Scope is a callback or one call,
 * so that there is no identity to set and none to forget.
 */
export interface Adapter<Session> {
  readonly specificationVersion: 1;
  /** A short name, for example `postgres`. */
  readonly backend: string;
  readonly capabilities: Capabilities;
  /** Pure: what would be sent, with secrets redacted. */
  plan(delegation: Delegation): DelegationPlan;
  /** Runs `work` as the human. Nothing of the human survives it, however it ends. */
  run<T>(
    delegation: Delegation,
    work: (session: Session) => Promise<T>,
    options?: RunOptions,
  ): Promise<T>;
  /** Drops what is cached for this human and stops what runs for them. */
  invalidate(subject: SubjectRef): Promise<void>;
  /** Waits for running calls and gives everything back. Safe to call twice. */
  close(): Promise<void>;
}

export interface QueryOptions extends RunOptions {
  /** Most rows that are returned; more set {@link SqlResult.truncated}. The default is the adapter's. */
  readonly maxRows?: number;
  /** Most bytes of row text that are returned. The default is the adapter's. */
  readonly maxBytes?: number;
  /** How the text that the backend sends for a value becomes a value. Default is the driver's own way. */
  readonly typeParser?: TypeParser;
}

/** Gives the parser for the backend's own type id, or `undefined` for the driver's own. */
export type TypeParser = (typeId: number) => ((text: string) => unknown) | undefined;

/** A column of a result. */
export interface SqlColumn {
  /** As the backend gave it; two columns may have the same name. */
  readonly name: string;
  /** The backend's own type id. */
  readonly typeId: number;
}

/** A row as a list, so that two columns of one name are both kept. */
export type SqlRow = readonly unknown[];

export interface SqlResult {
  readonly columns: readonly SqlColumn[];
  readonly rows: readonly SqlRow[];
  /** Why rows are missing at the end, or `null` when none are. */
  readonly truncated: "rows" | "bytes" | null;
  /** How many rows a write inserted, updated, deleted or merged, where the backend says so. */
  readonly affectedRows?: number;
}

/** The rows of one statement, brought as they are asked for. It can be iterated once. */
export interface SqlStream extends AsyncIterable<SqlRow> {
  /** Known once the first row, or the end, has come; empty before. */
  readonly columns: readonly SqlColumn[];
  /** Why rows are missing at the end, once it has come. */
  readonly truncated: "rows" | "bytes" | null;
}

export interface StreamOptions {
  /** Ends the stream, and stops the server. */
  readonly signal?: AbortSignal;
  /** Longest time for the whole stream, in milliseconds, the time of its reader included. The default is the adapter's. */
  readonly deadlineMs?: number;
  /** Most rows. Default is no limit. */
  readonly maxRows?: number;
  /** Most bytes of row text. Default is no limit. */
  readonly maxBytes?: number;
  /** As in {@link QueryOptions.typeParser}. */
  readonly typeParser?: TypeParser;
}

/** What the caller's code works with inside {@link Adapter.run}: one transaction of one human. */
export interface SqlSession {
  /** The run's own signal and deadline hold for its statements; `deadlineMs` may shorten it for one. */
  query(
    input: string | Statement,
    options?: Omit<QueryOptions, "access" | "signal">,
  ): Promise<SqlResult>;
  /** Asks the backend who it thinks is calling. */
  whoAmI(): Promise<Principal>;
}

/**
 * An adapter for a backend that speaks SQL. The type of `input` carries the trust: a plain `string`
 * is hostile (an agent wrote it), takes no values and only ever runs in the backend's sandbox; a
 * {@link Statement} is trusted text with values.
 */
export interface SqlAdapter extends Adapter<SqlSession> {
  /** One statement, one round trip. */
  query(
    delegation: Delegation,
    input: string | Statement,
    options?: QueryOptions,
  ): Promise<SqlResult>;
  /**
   * Reads a result of any size. A reader that stops reading stops the server; one that leaves the loop ends
   * the call. It holds a connection and a snapshot of the backend until then.
   */
  stream(delegation: Delegation, input: string | Statement, options?: StreamOptions): SqlStream;
}
