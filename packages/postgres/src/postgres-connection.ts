import { BehalfError, type CallClock, orStopped, type SubjectRef } from "@behalf/core";

import type { PgClient } from "./pg-structure.ts";
import { PostgresBatch, type Step, type StepResult } from "./postgres-batch.ts";
import { cancelRunning } from "./postgres-cancel.ts";
import {
  afterCommit,
  copyRefused,
  duringCommit,
  isPreparedMixUp,
  isServerError,
  mapPostgresError,
  onStandby,
  preparedMixUp,
} from "./postgres-errors.ts";
import type { OwnPool } from "./postgres-pool.ts";
import { preparedStatements, type PreparedStatements } from "./postgres-prepared.ts";
import { begin, reset, rollback } from "./postgres-steps.ts";
import type { Turns } from "./postgres-turns.ts";

/** How long a cancelled statement or a clean-up may take before the connection is cut, in milliseconds. */
const GRACE_MS = 1_000;

/** How long the server may take to obey a cancel before it is asked again, in milliseconds. */
const CANCEL_AGAIN_MS = 50;

/** What the adapter knows of one connection of the pool, for as long as it lives. */
interface ConnectionState {
  readonly prepared: PreparedStatements | null;
  /** The process that served it last, and when that process started. */
  backend: { readonly pid: number; readonly since: string } | null;
  /** Whether a backend called itself by another id than the driver was told: a pooler stands between. */
  isPooled: boolean;
}

/** Of every connection, whichever adapter used it: prepared statements belong to the connection. */
const states = new WeakMap<PgClient, ConnectionState>();

/** A connection while it serves one call of one human. */
export interface Connection {
  readonly client: PgClient;
  readonly state: ConnectionState;
  /**
   * One write, one round trip. Rejects as soon as the call has to end; where the batch commits and nobody
   * knows whether it did, the error's effect is `unknown`.
   */
  send(steps: readonly Step[]): Promise<readonly StepResult[]>;
  /** Says that the last batch ended the transaction and reset the session. */
  cleaned(): void;
}

/** For whom and for what a connection is lent. */
export interface Loan {
  /** The human, or `null` for a question of the adapter's own. */
  readonly subject: SubjectRef | null;
  readonly clock: CallClock;
  readonly access: "read" | "write";
}

export interface Connections {
  /** Lends a connection to `work` and sees to it that nothing of the human stays on it. */
  use<T>(loan: Loan, work: (connection: Connection) => Promise<T>): Promise<T>;
  /** Resolves when no connection is being cleaned or cut any more. */
  settled(): Promise<void>;
}

export interface ConnectionOptions {
  readonly pool: OwnPool;
  readonly turns: Turns;
  /** Whether statements get names; `false` for PgBouncer in transaction mode before 1.21, which loses them. */
  readonly preparedStatements: boolean;
  readonly maxPreparedStatements: number;
}

export function connections(options: ConnectionOptions): Connections {
  const { pool, turns } = options;
  const retiring = new Set<Promise<void>>();

  async function checkout(clock: CallClock): Promise<PgClient> {
    const pending = pool.connect();
    try {
      return await orStopped(pending, clock);
    } catch (error) {
      // The connection may still arrive; nothing ran on it.
      pending.then((client) => client.release(), ignore);
      const reason = clock.stopped;
      if (!reason) throw mapPostgresError(error, "connect");
      if (reason.code !== "timeout") throw reason;
      throw noConnection();
    }
  }

  async function retire(client: PgClient, batch: PostgresBatch | null): Promise<void> {
    if (batch) {
      // The server must stop working for a human who is gone. The connection is never used again, so a
      // cancel that arrives late hits nobody.
      const settled = Promise.race([batch.done.then(yes, yes), sleep(GRACE_MS).then(yes)]);
      do {
        await cancelRunning(client, GRACE_MS);
        // The server forgets a cancel that arrives between two statements of the batch: ask again.
      } while (!(await Promise.race([settled, sleep(CANCEL_AGAIN_MS)])));
    }
    client.connection.stream.destroy();
    client.release(true);
  }

  function stateOf(client: PgClient): ConnectionState {
    let state = states.get(client);
    if (!state) {
      state = {
        prepared: options.preparedStatements
          ? preparedStatements(options.maxPreparedStatements)
          : null,
        backend: null,
        isPooled: false,
      };
      states.set(client, state);
    }
    return state;
  }

  return {
    async use({ subject, clock, access }, work) {
      pool.check();
      const release = await turns.take(subject, clock);
      let client;
      try {
        client = await checkout(clock);
        checkClient(client);
      } catch (error) {
        release();
        throw error;
      }
      const state = stateOf(client);
      // What the server said as it took leave while nothing was asked of it. The driver forgets it.
      const farewells: Error[] = [];
      const onError = (error: Error) => void farewells.push(error);
      client.on("error", onError);
      let running: PostgresBatch | null = null;
      let clean = true;
      let spoiled = false;
      let last: PostgresBatch | null = null;
      let cleanUp = access;
      // A callback may keep its session and use it when the connection serves somebody else.
      let live = true;

      const send = async (steps: readonly Step[]) => {
        if (!live) throw ended();
        clock.check();
        const [farewell] = farewells;
        if (farewell !== undefined) {
          // Nothing can be sent any more, a COMMIT neither.
          clean = false;
          throw farewell;
        }
        const batch = new PostgresBatch(steps, state.prepared);
        const commits = steps.some((step) => step.text !== undefined && step.commits === true);
        running = batch;
        last = batch;
        clean = false;
        client.query(batch);
        try {
          const results = await orStopped(batch.done, clock);
          running = null;
          if (!live) throw ended();
          if (batch.copies !== null) throw commits ? afterCommit(copyRefused()) : copyRefused();
          return results;
        } catch (error) {
          // Only a server that has answered leaves the connection free for a clean-up.
          const answered = !clock.stopped && isServerError(error);
          if (answered) running = null;
          // What a forgotten query was told by our own cancel is no timeout.
          if (!live) throw ended();
          if (answered && batch.copies !== null) throw copyRefused();
          if (answered && isPreparedMixUp(error, batch.failedStep?.name)) {
            // On a connection of its own, a name can only be missing because an author deallocated it.
            if (state.isPooled || error.code === "42P05") throw preparedMixUp(error);
          }
          if (
            answered &&
            batch.failedStep?.text === begin("write").text &&
            error.code === "0A000"
          ) {
            // Nothing was written, and a standby refuses a part of what cleans up after writes.
            cleanUp = "read";
            throw onStandby(error);
          }
          throw commits && !answered ? duringCommit(error) : error;
        } finally {
          spoiled ||= batch.spoilsConnection;
        }
      };

      try {
        return await work({
          client,
          state,
          send,
          cleaned() {
            clean = last === null || !last.failedAfterCommit;
          },
        });
      } finally {
        live = false;
        client.removeListener("error", onError);
        if (running || spoiled) {
          client.on("error", ignore);
          track(retire(client, running).finally(release));
        } else if (clean) {
          client.release();
          release();
        } else {
          const restoring = restore(client, state, cleanUp).finally(release);
          track(restoring);
          // Nobody waits for it longer than for the call.
          await orStopped(restoring, clock).catch(ignore);
        }
      }
    },
    async settled() {
      await Promise.all(retiring);
    },
  };

  async function restore(
    client: PgClient,
    state: ConnectionState,
    access: "read" | "write",
  ): Promise<void> {
    client.on("error", ignore);
    const steps = [rollback, ...reset(access, client)];
    const batch = new PostgresBatch(steps, state.prepared);
    let failed = false;
    try {
      client.query(batch);
      await Promise.race([
        batch.done,
        sleep(GRACE_MS).then(() => {
          throw new Error("the clean-up took too long");
        }),
      ]);
    } catch {
      failed = true;
    }
    if (failed) {
      // A clean-up that did not succeed: the connection is cut, never returned.
      batch.done.catch(ignore);
      await retire(client, null);
    } else {
      client.removeListener("error", ignore);
      client.release();
    }
  }

  function track(work: Promise<void>): void {
    retiring.add(work);
    void work.catch(ignore).finally(() => retiring.delete(work));
  }
}

function checkClient(client: PgClient): void {
  if (typeof client.connection?.stream?.cork === "function") return;
  client.release();
  throw new BehalfError(
    "configuration",
    "[postgres] the pool's clients do not show their connection (pg.native?); use the pg.Pool of pg itself",
    { backend: "postgres", reason: "pool" },
  );
}

/** A deadline that passed before there was a connection says something about the server, not about the statement. */
export function noConnection(): BehalfError {
  return new BehalfError(
    "backend.unavailable",
    "[postgres] no connection could be made before the deadline; check that the server can be reached",
    { backend: "postgres", reason: "connect_timeout" },
  );
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds).unref();
  });
}

function yes(): true {
  return true;
}

/** What a call's code is told that comes back after the call. */
export function ended(): BehalfError {
  return new BehalfError(
    "closed",
    "[postgres] the call has ended; use the session inside its callback",
  );
}

function ignore(): void {}
