import { BehalfError, callClock, type CallClock, orStopped, type SubjectRef } from "@behalf/core";

import { type Connections, connections, noConnection } from "./postgres-connection.ts";
import type { Mode } from "./postgres-mode.ts";
import type { PgPool } from "./pg-structure.ts";
import { ownPool } from "./postgres-pool.ts";
import { preflight } from "./postgres-preflight.ts";
import { type Tickets, tickets } from "./postgres-tickets.ts";
import { turns } from "./postgres-turns.ts";

export interface LoginOptions {
  readonly pool: PgPool;
  readonly preparedStatements: boolean;
  readonly maxPreparedStatements: number;
  readonly maxTickets: number;
  /** Default is a quarter of the pool, rounded up. */
  readonly maxConnectionsPerHuman: number | undefined;
  readonly maxCallsPerHuman: number;
  /** Bounds its own question whether the database is ready, in milliseconds. */
  readonly deadlineMs: number;
}

/** One login of the gateway with its pool. Tickets are bound to the login, so each has its own. */
export interface Login {
  readonly connections: Connections;
  readonly tickets: Tickets;
  /** Resolves when the database said, at the first call, that nothing stands in the way. */
  ready(clock: CallClock): Promise<void>;
  invalidate(subject: SubjectRef): void;
  close(): Promise<void>;
}

/** The logins of one adapter. */
export type Logins = { readonly [mode in Mode]: Login | null };

/** @throws BehalfError `configuration` when somebody else uses the pool */
export function login(options: LoginOptions): Login {
  const pool = ownPool(options.pool);
  const lender = connections({
    pool,
    turns: turns({
      connections: pool.max,
      connectionsPerHuman: options.maxConnectionsPerHuman ?? Math.ceil(pool.max / 4),
      callsPerHuman: options.maxCallsPerHuman,
    }),
    preparedStatements: options.preparedStatements,
    maxPreparedStatements: options.maxPreparedStatements,
  });
  const kept = tickets(options.maxTickets);
  let ready: Promise<void> | null = null;
  let isReady = false;

  // On a clock of its own: the caller who happens to come first may give up, and others wait, too.
  async function checkOnce(): Promise<void> {
    using clock = callClock(options.deadlineMs, undefined, "postgres");
    const check = lender.use({ subject: null, clock, access: "read" }, preflight);
    // A database that was down, or was not ready, is asked again by the next call.
    check.catch(() => {
      ready = null;
    });
    await check;
    isReady = true;
  }

  return {
    connections: lender,
    tickets: kept,
    async ready(clock) {
      if (isReady) return;
      try {
        await orStopped((ready ??= checkOnce()), clock);
      } catch (error) {
        throw BehalfError.isInstance(error) && error.code === "timeout" ? noConnection() : error;
      }
    },
    invalidate: (subject) => kept.invalidate(subject),
    async close() {
      await lender.settled();
      kept.clear();
      pool.giveUp();
    },
  };
}
