import type { Delegation, RunOptions, SqlAdapter, SqlSession, Statement } from "@behalf/core";
import type { LocalPostgres } from "@behalf/local";
import type pg from "pg";

import type { TcpProxy } from "../support/tcp-proxy.ts";
import type { World } from "../support/world.ts";

/** The ways in which a call can use the database. */
export const CALLS = [
  "text reads",
  "text writes",
  "statement reads",
  "statement writes",
  "run that writes",
  "stream",
] as const;
export type CallKind = (typeof CALLS)[number];

/** What came of a fault, as the caller, the database and the pool saw it. */
export interface Outcome {
  /** `ok`, the code of the error, or `own error`: the one that the callback threw, as it was. */
  readonly code: string;
  /** What refines it: the SQLSTATE or the socket's code. */
  readonly native: string;
  /** What the caller was told of the change; empty where a read has none to tell of. */
  readonly effect: "" | "done" | "none" | "unknown";
  /** Whether a superuser finds the change; empty for reads. */
  readonly made: "" | "yes" | "no";
  /** Whether the next human is served by the same session of the server. */
  readonly connection: "kept" | "cut";
}

export interface Fault extends Outcome {
  /** What happens, for people. */
  readonly fault: string;
  readonly call: CallKind;
  /** Does it. What it returns is the call's own promise. */
  readonly produce: (stage: Stage) => Promise<unknown>;
  /** The first version that has it. */
  readonly since?: number;
}

/** A database, an adapter with one connection for each login, and what a fault needs. */
export interface Stage {
  readonly world: World;
  readonly server: LocalPostgres;
  readonly proxy: TcpProxy;
  readonly shop: SqlAdapter;
  readonly pools: { readonly sandbox: pg.Pool; readonly statement: pg.Pool };
  /** The number of the row that the call writes. */
  readonly mark: number;
  delegate(human: string): Promise<Delegation>;
  /** A superuser's question, on a connection of its own. */
  ask(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>;
  /** Waits until a session of the gateway's waits for this. */
  waitsFor(event: "PgSleep" | "SyncRep"): Promise<void>;
  /** Waits until none of them does any more. */
  endsAt(event: "PgSleep"): Promise<void>;
  /** Ends the gateway's sessions, as `pg_terminate_backend` does, and waits until they are gone. */
  terminate(): Promise<void>;
  /** Waits until no session of the login for texts is left. */
  gone(): Promise<void>;
  /** One call of Alice, of the wanted kind. */
  call(kind: CallKind, work: Work, options?: RunOptions): Promise<unknown>;
  /** Undone when the fault is over, the last one first. */
  defer(undo: () => Promise<void>): void;
}

/** What a call does. `null` for what it cannot be. */
export interface Work {
  readonly text: string;
  readonly statement: Statement;
  /** In a run, after the text. */
  readonly next?: (session: SqlSession) => Promise<unknown>;
}
